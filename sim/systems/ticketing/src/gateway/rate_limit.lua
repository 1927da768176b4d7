-- A token bucket: a request takes a token from it, if there is one, or gives back one that it has taken in vain.
--
-- A bucket is a time, the one at which it will be full again (generic cell rate algorithm, ITU-T I.371): each token
-- taken moves it on by the time that a token takes to come back. A full bucket can be forgotten, so that time is also
-- the key's expiry, and nothing else has to be kept.
--
-- KEYS[1] bucket of an account or of a device
-- ARGV[1] ms until a token comes back to take one, with a minus sign to give one back
-- ARGV[2] ms until an empty bucket is full
-- Returns 0 when the request may pass, otherwise the ms after which it is worth trying again.
local full_in = redis.call('PTTL', KEYS[1])
if full_in < 0 then
  full_in = 0
end
full_in = full_in + ARGV[1]
local wait = full_in - ARGV[2]
if wait > 0 then
  return wait
end

if full_in > 0 then
  redis.call('SET', KEYS[1], '', 'PX', full_in)
else
  redis.call('DEL', KEYS[1])
end
return 0
