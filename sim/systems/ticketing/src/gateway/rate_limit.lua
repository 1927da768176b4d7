-- Token buckets: a request takes a token from each of them, or from none; or it gives back one that it has taken in
-- vain.
--
-- A bucket is a time, the one at which it will be full again (generic cell rate algorithm, ITU-T I.371): each token
-- taken moves it on by the time that a token takes to come back. A full bucket can be forgotten, so that time is also
-- the key's expiry, and nothing else has to be kept.
--
-- KEYS[…] buckets of an account, of a device
-- ARGV[1] ms until a token comes back to take one, with a minus sign to give one back
-- ARGV[2] ms until an empty bucket is full
-- Returns 0 when the request may pass, otherwise the ms after which it is worth trying again.
local full_in, wait = {}, 0
for i = 1, #KEYS do
  local now = redis.call('PTTL', KEYS[i])
  if now < 0 then
    now = 0
  end
  full_in[i] = now + ARGV[1]
  wait = math.max(wait, full_in[i] - ARGV[2])
end
if wait > 0 then
  return wait
end

for i = 1, #KEYS do
  if full_in[i] > 0 then
    redis.call('SET', KEYS[i], '', 'PX', full_in[i])
  else
    redis.call('DEL', KEYS[i])
  end
end
return 0
