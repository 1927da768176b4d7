-- Takes a place at the end of the queue of a run. An account that already has an unused place keeps that one.
--
-- KEYS[1] queue of the run   KEYS[2] place of the account in it   KEYS[3] new token
-- ARGV[1] new token   ARGV[2] run   ARGV[3] account   ARGV[4] most that wait   ARGV[5] life of the token in ms
-- Returns {token, position}, or {} when the queue is full.
local place = redis.call('HMGET', KEYS[2], 'token', 'position')
if place[1] then
  return place
end

local queue = redis.call('HMGET', KEYS[1], 'tail', 'head')
if (tonumber(queue[1]) or 0) - (tonumber(queue[2]) or 0) >= tonumber(ARGV[4]) then
  return {}
end

local time = redis.call('TIME')
local position = string.format('%d', redis.call('HINCRBY', KEYS[1], 'tail', 1))
redis.call('HSET', KEYS[3], 'run', ARGV[2], 'account', ARGV[3], 'position', position,
  'joined_ms', string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000)))
redis.call('HSET', KEYS[2], 'token', ARGV[1], 'position', position)
redis.call('PEXPIRE', KEYS[3], ARGV[5])
redis.call('PEXPIRE', KEYS[2], ARGV[5])
return {ARGV[1], position}
