-- Takes a place at the end of the queue of a run. An account that already has an unused place keeps that one.
--
-- KEYS[1] queue of the run   KEYS[2] place of the account in it   KEYS[3] new token
-- ARGV[1] new token   ARGV[2] run   ARGV[3] account   ARGV[4] most that wait   ARGV[5] life of the token in ms
-- ARGV[6] key of a token, without the token
-- Returns {token, position}, or {} when the queue is full.
local known = redis.call('GET', KEYS[2])
if known then
  local place = redis.call('HMGET', ARGV[6] .. known, 'position', 'order')
  if place[1] and not place[2] then
    return {known, place[1]}
  end
end

local queue = redis.call('HMGET', KEYS[1], 'tail', 'head')
if (tonumber(queue[1]) or 0) - (tonumber(queue[2]) or 0) >= tonumber(ARGV[4]) then
  return {}
end

local time = redis.call('TIME')
local position = redis.call('HINCRBY', KEYS[1], 'tail', 1)
redis.call('HSET', KEYS[3], 'run', ARGV[2], 'account', ARGV[3], 'position', position,
  'joined_ms', string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)))
redis.call('PEXPIRE', KEYS[3], ARGV[5])
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[5])
return {ARGV[1], string.format('%.0f', position)}
