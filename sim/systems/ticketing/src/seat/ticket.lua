-- Makes the locked seats of an order ticketed: they do not expire any more.
--
-- KEYS[1] seat lock of the order   KEYS[2] seat-lock-expiry
-- ARGV[1] order
-- Returns 'done' when they are ticketed, now or before; 'refused' when nothing is locked.
local state = redis.call('HGET', KEYS[1], 'state')
if state == 'TICKETED' then
  return 'done'
elseif state ~= 'LOCKED' then
  return 'refused'
end
redis.call('HSET', KEYS[1], 'state', 'TICKETED')
redis.call('ZREM', KEYS[2], ARGV[1])
return 'done'
