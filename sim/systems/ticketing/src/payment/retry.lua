-- The work on a payment has failed: it is due again after 1, 2, 4, 8… times the first wait, and goes to the dead
-- letters after the last retry.
--
-- KEYS[1] payment   KEYS[2] payment-work   KEYS[3] payment-dead-letter
-- ARGV[1] payment id   ARGV[2] most retries   ARGV[3] first wait in ms
-- Returns 1 when it will be tried again, otherwise 0.
if not redis.call('ZSCORE', KEYS[2], ARGV[1]) then
  return 0
end
local failed = redis.call('HINCRBY', KEYS[1], 'attempts', 1)
if failed > tonumber(ARGV[2]) then
  redis.call('ZREM', KEYS[2], ARGV[1])
  redis.call('LREM', KEYS[3], 0, ARGV[1])
  redis.call('LPUSH', KEYS[3], ARGV[1])
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[2], now + ARGV[3] * 2 ^ (failed - 1), ARGV[1])
return 1
