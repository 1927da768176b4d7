-- Picks a seat for each passenger, free on every segment of the trip, and locks them: all or none.
--
-- Looks at seats in the order of their numbers, a few at a time, beginning where the caller found the last ones.
-- Idempotent by order; a lock in FREED also stands there as a tombstone when the order was given up before this
-- arrived, and then nothing is locked.
--
-- KEYS[1] seat lock of the order   KEYS[2] seats of the run and class   KEYS[3] seat-lock-expiry
-- ARGV[1] order   ARGV[2] run   ARGV[3] class   ARGV[4] from   ARGV[5] to   ARGV[6] seats wanted
-- ARGV[7] when the lock expires, in ms   ARGV[8] seats that there are   ARGV[9] number of the seat to begin with
-- ARGV[10] seats per car
-- Returns {'locked', labels joined by commas, number of the last seat}, {'fragmented'}, or {'freed'} when the
-- order was given up.
local CHUNK = 8

local known = redis.call('HMGET', KEYS[1], 'state', 'seats')
if known[1] == 'FREED' then
  return {'freed'}
elseif known[1] then
  return {'locked', known[2], -1}
end

local from, to, wanted = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local total, start, per_car = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local free = string.rep('0', to - from)
local labels, occupation, last = {}, {}, start

for looked = 0, total - 1, CHUNK do
  local chunk = {}
  for i = looked, math.min(looked + CHUNK, total) - 1 do
    local number = (start + i) % total
    chunk[#chunk + 1] = string.format('%02d-%02d', math.floor(number / per_car) + 1, number % per_car + 1)
  end
  local bits = redis.call('HMGET', KEYS[2], unpack(chunk))
  for i, label in ipairs(chunk) do
    if bits[i] and string.sub(bits[i], from + 1, to) == free then
      labels[#labels + 1] = label
      occupation[#occupation + 1] = label
      occupation[#occupation + 1] =
        string.sub(bits[i], 1, from) .. string.rep('1', to - from) .. string.sub(bits[i], to + 1)
      last = (start + looked + i - 1) % total
      if #labels == wanted then
        break
      end
    end
  end
  if #labels == wanted then
    break
  end
end
if #labels < wanted then
  return {'fragmented'}
end

local joined = table.concat(labels, ',')
redis.call('HSET', KEYS[2], unpack(occupation))
redis.call('HSET', KEYS[1], 'state', 'LOCKED', 'run', ARGV[2], 'class', ARGV[3], 'from', ARGV[4], 'to', ARGV[5],
  'seats', joined, 'expires_ms', ARGV[7])
redis.call('ZADD', KEYS[3], ARGV[7], ARGV[1])
return {'locked', joined, last}
