-- Frees the seats of an order on every segment of its trip, once. When there is no lock yet, leaves a tombstone
-- that keeps a late pick from locking anything.
--
-- KEYS[1] seat lock of the order   KEYS[2] seats of the run and class   KEYS[3] seat-lock-expiry
-- ARGV[1] order   ARGV[2] '1' to free also what is ticketed already   ARGV[3] '1' to free only what has expired
-- ARGV[4] life of a tombstone in ms
-- Returns 'done' when nothing is locked (any more), 'refused' when it is ticketed or has not expired.
local lock = redis.call('HMGET', KEYS[1], 'state', 'from', 'to', 'seats', 'expires_ms')
local state = lock[1]
if state == 'FREED' then
  return 'done'
elseif state == 'TICKETED' and ARGV[2] ~= '1' then
  return 'refused'
end

if ARGV[3] == '1' then
  local time = redis.call('TIME')
  if not state or time[1] * 1000 + math.floor(time[2] / 1000) < tonumber(lock[5]) then
    return 'refused'
  end
end

if state then
  local from, to = tonumber(lock[2]), tonumber(lock[3])
  for label in string.gmatch(lock[4], '[^,]+') do
    local bits = redis.call('HGET', KEYS[2], label)
    redis.call('HSET', KEYS[2], label,
      string.sub(bits, 1, from) .. string.rep('0', to - from) .. string.sub(bits, to + 1))
  end
end
redis.call('HSET', KEYS[1], 'state', 'FREED')
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('ZREM', KEYS[3], ARGV[1])
return 'done'
