-- Makes a piece of work due again later, unless it has been done meanwhile.
--
-- KEYS[1] sorted set of ids by the time when they are due, in ms
-- ARGV[1] id   ARGV[2] wait in ms
-- Returns 1 when it is still to be done, otherwise 0.
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
return 1
