-- Moves an order from one state to the next, if it is where the move begins: the only way in which the state of an
-- order changes. Takes it off one list of work and puts it on another in the same step.
--
-- KEYS[1] order   KEYS[2…] the list of work that it leaves and the list that it enters, as far as there are such
-- ARGV[1] order id   ARGV[2] state where the move begins   ARGV[3] state where it ends
-- ARGV[4] number of the key of the list that it leaves, or 0   ARGV[5] number of the key of that which it enters, or 0
-- ARGV[6] when the work on the new list is due: a time in ms, or '+' and a wait in ms
-- ARGV[7…] fields and values to set with it
-- Returns {1, new state} when it moved, otherwise {0, state where it stands}; '' for an order that does not exist.
local state = redis.call('HGET', KEYS[1], 'state')
if state ~= ARGV[2] then
  return {0, state or ''}
end

redis.call('HSET', KEYS[1], 'state', ARGV[3], unpack(ARGV, 7))
redis.call('HINCRBY', KEYS[1], 'version', 1)
local leaves, enters = KEYS[tonumber(ARGV[4])], KEYS[tonumber(ARGV[5])]
if leaves then
  redis.call('ZREM', leaves, ARGV[1])
end
if enters then
  local due = ARGV[6]
  if string.sub(due, 1, 1) == '+' then
    local time = redis.call('TIME')
    due = time[1] * 1000 + math.floor(time[2] / 1000) + string.sub(due, 2)
  end
  redis.call('ZADD', enters, due, ARGV[1])
end
return {1, ARGV[3]}
