-- Makes the hold of an order a sale.
--
-- KEYS[1] hold of the order
-- Returns 'done' when it is sold, now or before; 'refused' when nothing is held.
local state = redis.call('HGET', KEYS[1], 'state')
if state == 'SOLD' then
  return 'done'
elseif state ~= 'HELD' then
  return 'refused'
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], 'state', 'SOLD', 'at_ms', now)
return 'done'
