-- Takes back the tickets of an order, as far as they were written.
--
-- KEYS[1…] its tickets
-- Returns how many there were.
local voided = 0
for _, ticket in ipairs(KEYS) do
  if redis.call('EXISTS', ticket) == 1 then
    redis.call('HSET', ticket, 'state', 'VOID')
    voided = voided + 1
  end
end
return voided
