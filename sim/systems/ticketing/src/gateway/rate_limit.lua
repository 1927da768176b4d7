-- Token buckets of an account and of a device: a request takes a token from both, or from none.
--
-- KEYS[1] bucket of the account   KEYS[2] bucket of the device
-- ARGV[1] tokens that each gets per second   ARGV[2] tokens that each can hold
-- Returns 0 when the request may pass, otherwise the ms after which it is worth trying again.
local per_ms = ARGV[1] / 1000
local full = ARGV[2] * 1000
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local tokens_milli, wait = {}, 0
for i = 1, 2 do
  local bucket = redis.call('HMGET', KEYS[i], 'tokens_milli', 'at_ms')
  local tokens = full
  if bucket[1] then
    tokens = math.min(full, bucket[1] + math.max(0, now - bucket[2]) * per_ms * 1000)
  end
  tokens_milli[i] = tokens
  if tokens < 1000 then
    wait = math.max(wait, math.ceil((1000 - tokens) / 1000 / per_ms))
  end
end
if wait > 0 then
  return wait
end

-- A bucket that nobody uses is full by then: it can be forgotten.
local life = string.format('%.0f', math.ceil(full / 1000 / per_ms) + 1000)
for i = 1, 2 do
  redis.call('HSET', KEYS[i], 'tokens_milli', string.format('%.0f', math.floor(tokens_milli[i]) - 1000),
    'at_ms', string.format('%.0f', now))
  redis.call('PEXPIRE', KEYS[i], life)
end
return 0
