-- Takes stock on every segment of a trip, or on none: the only way in which stock gets less.
--
-- Idempotent by order: whatever was decided first for an order stays decided. A hold in RELEASED also stands there
-- as a tombstone when the order was given up before its deduction arrived, and then nothing is taken.
--
-- KEYS[1] hold of the order   KEYS[2] stock of the run and class
-- ARGV[1] run   ARGV[2] class   ARGV[3] from   ARGV[4] to   ARGV[5] seats   ARGV[6] life of a tombstone in ms
-- Returns 'held', 'sold_out', or 'released' when the order was given up.
local known = redis.call('HMGET', KEYS[1], 'state', 'reason')
if known[1] == 'HELD' or known[1] == 'SOLD' then
  return 'held'
elseif known[1] then
  return known[2] or 'released'
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local seats = tonumber(ARGV[5])
local segments = {}
for segment = tonumber(ARGV[3]), tonumber(ARGV[4]) - 1 do
  segments[#segments + 1] = segment
end

local remaining = redis.call('HMGET', KEYS[2], unpack(segments))
local taken = {}
for i, segment in ipairs(segments) do
  if (tonumber(remaining[i]) or 0) < seats then
    redis.call('HSET', KEYS[1], 'state', 'RELEASED', 'reason', 'sold_out', 'at_ms', now)
    redis.call('PEXPIRE', KEYS[1], ARGV[6])
    return 'sold_out'
  end
  taken[#taken + 1] = segment
  taken[#taken + 1] = remaining[i] - seats
end

redis.call('HSET', KEYS[2], unpack(taken))
redis.call('HSET', KEYS[1], 'state', 'HELD', 'run', ARGV[1], 'class', ARGV[2], 'from', ARGV[3], 'to', ARGV[4],
  'seats', ARGV[5], 'at_ms', now)
return 'held'
