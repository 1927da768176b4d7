-- Takes a place at the end of the queue of a run. An account that already has an unused place keeps that one. Where
-- nobody waits and the time for an order has come, the place is admitted at once.
--
-- KEYS[1] queue of the run   KEYS[2] place of the account in it   KEYS[3] new token
-- ARGV[1] new token   ARGV[2] run   ARGV[3] account   ARGV[4] most that wait   ARGV[5] life of the token in ms
-- Returns {token, position, head}, or {} when the queue is full: places up to head are admitted.
local place = redis.call('HMGET', KEYS[2], 'token', 'position')
local queue = redis.call('HMGET', KEYS[1], 'tail', 'head', 'credit_milli')
local head, credit_milli = tonumber(queue[2]) or 0, tonumber(queue[3]) or 0
if place[1] then
  return {place[1], place[2], head}
end
if (tonumber(queue[1]) or 0) - head >= tonumber(ARGV[4]) then
  return {}
end

local time = redis.call('TIME')
local position = redis.call('HINCRBY', KEYS[1], 'tail', 1)
if head + 1 == position and credit_milli >= 1000 then
  head = position
  redis.call('HSET', KEYS[1], 'head', head, 'credit_milli', string.format('%.3f', credit_milli - 1000))
end
redis.call('HSET', KEYS[3], 'run', ARGV[2], 'account', ARGV[3], 'position', position,
  'joined_ms', time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('HSET', KEYS[2], 'token', ARGV[1], 'position', position)
redis.call('PEXPIRE', KEYS[3], ARGV[5])
redis.call('PEXPIRE', KEYS[2], ARGV[5])
return {ARGV[1], position, head}
