-- The order of a payment ends without a ticket: nothing may stay charged, and nothing may be charged later. When
-- there is no payment yet, leaves a tombstone that keeps a late request from making one.
--
-- KEYS[1] payment   KEYS[2] payment-work   KEYS[3] payment-watch
-- ARGV[1] payment id   ARGV[2] order id   ARGV[3] wait in ms before the work is due for everybody
-- ARGV[4] life of a tombstone in ms
-- Returns the state of the payment now.
local state = redis.call('HGET', KEYS[1], 'state')
if not state then
  redis.call('HSET', KEYS[1], 'state', 'CLOSED', 'order', ARGV[2], 'version', 0, 'attempts', 0, 'settled', 1)
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
  return 'CLOSED'
end

local next = ({CREATED = 'CLOSED', CAPTURED = 'REFUNDING'})[state]
if not next then
  return state
end
local time = redis.call('TIME')
local due = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[3]
redis.call('HSET', KEYS[1], 'state', next, 'settled', 0, 'attempts', 0)
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('ZADD', KEYS[2], due, ARGV[1])
return next
