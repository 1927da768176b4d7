-- Takes a payment off the dead letters and makes its work due now, with all its retries.
--
-- KEYS[1] payment   KEYS[2] payment-work   KEYS[3] payment-dead-letter
-- ARGV[1] payment id
-- Returns 1 when it was among them, otherwise 0.
if redis.call('LREM', KEYS[3], 0, ARGV[1]) == 0 then
  return 0
end
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], 'attempts', 0)
redis.call('ZADD', KEYS[2], time[1] * 1000 + math.floor(time[2] / 1000), ARGV[1])
return 1
