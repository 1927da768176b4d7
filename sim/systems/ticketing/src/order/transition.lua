-- Moves an order from one state to the next, if it is where the move begins: the only way in which the state of an
-- order changes. Takes it off one list of work and puts it on another in the same step.
--
-- KEYS[1] order   KEYS[2] list of work that it leaves, or ''   KEYS[3] list that it enters, or ''
-- ARGV[1] order id   ARGV[2] state where the move begins   ARGV[3] state where it ends
-- ARGV[4] when the work on the new list is due: a time in ms, or '+' and a wait in ms
-- ARGV[5…] fields and values to set with it
-- Returns {1, new state} when it moved, otherwise {0, state where it stands}; '' for an order that does not exist.
local state = redis.call('HGET', KEYS[1], 'state')
if state ~= ARGV[2] then
  return {0, state or ''}
end

redis.call('HSET', KEYS[1], 'state', ARGV[3], unpack(ARGV, 5))
redis.call('HINCRBY', KEYS[1], 'version', 1)
if KEYS[2] ~= '' then
  redis.call('ZREM', KEYS[2], ARGV[1])
end
if KEYS[3] ~= '' then
  local due = ARGV[4]
  if string.sub(due, 1, 1) == '+' then
    local time = redis.call('TIME')
    due = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) + string.sub(due, 2))
  end
  redis.call('ZADD', KEYS[3], due, ARGV[1])
end
return {1, ARGV[3]}
