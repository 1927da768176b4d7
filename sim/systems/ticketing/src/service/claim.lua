-- Takes pieces of work that are due. They stay in the set and belong to the caller for the length of the lease;
-- if they are still there afterwards they are due again, for anybody.
--
-- KEYS[1] sorted set of ids by the time when they are due, in ms
-- ARGV[1] lease in ms   ARGV[2] most to take
-- Returns the ids, the longest due first.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[2])
local leased_until = now + ARGV[1]
for _, id in ipairs(due) do
  redis.call('ZADD', KEYS[1], leased_until, id)
end
return due
