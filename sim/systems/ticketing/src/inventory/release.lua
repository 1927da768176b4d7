-- Returns the stock of an order to every segment of its trip, once. When there is no hold yet, leaves a tombstone
-- that keeps a late deduction from taking anything.
--
-- KEYS[1] hold of the order   KEYS[2] stock of the run and class
-- ARGV[1] '1' to return also what is sold already   ARGV[2] life of a tombstone in ms
-- Returns 'done' when nothing is held (any more), 'refused' when it is sold.
local hold = redis.call('HMGET', KEYS[1], 'state', 'from', 'to', 'seats')
local state = hold[1]
if state == 'RELEASED' then
  return 'done'
elseif state == 'SOLD' and ARGV[1] ~= '1' then
  return 'refused'
end

if state then
  for segment = tonumber(hold[2]), tonumber(hold[3]) - 1 do
    redis.call('HINCRBY', KEYS[2], segment, hold[4])
  end
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], 'state', 'RELEASED', 'at_ms', now)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 'done'
