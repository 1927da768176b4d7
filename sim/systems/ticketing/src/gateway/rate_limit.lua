-- A token bucket: a request takes a token from it, if there is one, or gives back one that it has taken in vain.
--
-- A bucket is one number, the time at which it will be full again (generic cell rate algorithm, ITU-T I.371): each
-- token taken moves it on by the time that a token takes to come back.
--
-- KEYS[1] bucket of an account or of a device
-- ARGV[1] tokens that it gets per second   ARGV[2] tokens that it can hold   ARGV[3] '1' to take one, '-1' to give back
-- Returns 0 when the request may pass, otherwise the ms after which it is worth trying again.
local per_token_us = math.ceil(1000000 / ARGV[1])
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]

local full_us = math.max(tonumber(redis.call('GET', KEYS[1])) or 0, now_us) + per_token_us * ARGV[3]
local wait_us = full_us - now_us - per_token_us * ARGV[2]
if wait_us > 0 then
  return math.ceil(wait_us / 1000)
end

-- A bucket that is full can be forgotten.
local full_in_ms = math.ceil((full_us - now_us) / 1000)
if full_in_ms > 0 then
  redis.call('SET', KEYS[1], full_us, 'PX', full_in_ms)
else
  redis.call('DEL', KEYS[1])
end
return 0
