-- Token buckets of an account and of a device: a request takes a token from both, or from none.
--
-- A bucket is one number, the time at which it will be full again (generic cell rate algorithm, ITU-T I.371): each
-- token taken moves it on by the time that a token takes to come back.
--
-- KEYS[1] bucket of the account   KEYS[2] bucket of the device
-- ARGV[1] tokens that each gets per second   ARGV[2] tokens that each can hold
-- Returns 0 when the request may pass, otherwise the ms after which it is worth trying again.
local per_token_us = math.ceil(1000000 / ARGV[1])
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]

local full_us, wait_us = redis.call('MGET', KEYS[1], KEYS[2]), 0
for i = 1, 2 do
  full_us[i] = math.max(tonumber(full_us[i]) or 0, now_us) + per_token_us
  wait_us = math.max(wait_us, full_us[i] - now_us - per_token_us * ARGV[2])
end
if wait_us > 0 then
  return math.ceil(wait_us / 1000)
end

-- A bucket that is full can be forgotten.
for i = 1, 2 do
  redis.call('SET', KEYS[i], full_us[i], 'PX', math.ceil((full_us[i] - now_us) / 1000))
end
return 0
