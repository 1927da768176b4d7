-- Binds an idempotency key to a new order in PLACING, and spends the queue token on it. From here on the order is
-- persisted work: it is opened, or given up when nobody has opened it in time.
--
-- KEYS[1] idempotency key   KEYS[2] queue token   KEYS[3] queue of the run   KEYS[4] order   KEYS[5] order-placing
-- ARGV[1] new order id   ARGV[2] account   ARGV[3] idempotency key   ARGV[4] digest of the request
-- ARGV[5] run   ARGV[6] class   ARGV[7] from   ARGV[8] to   ARGV[9] passengers   ARGV[10] amount in fen
-- ARGV[11] currency   ARGV[12] time to pay in ms   ARGV[13] time to place in ms   ARGV[14] life of the key in ms
-- Returns {'begun', order id, payment deadline in ms}; {'resumed', order id} when the key was used for the same
-- request before; {'conflict'} when it was used for another one; {'token_refused'}; {'not_admitted'}; or
-- {'id_taken'} when there is an order with the new id.
local known = redis.call('HMGET', KEYS[1], 'order', 'digest')
if known[2] then
  if known[2] ~= ARGV[4] then
    return {'conflict'}
  end
  return {'resumed', known[1]}
end
if redis.call('EXISTS', KEYS[4]) == 1 then
  return {'id_taken'}
end

local token = redis.call('HMGET', KEYS[2], 'run', 'account', 'position', 'order')
if token[1] ~= ARGV[5] or token[2] ~= ARGV[2] or token[4] then
  return {'token_refused'}
end
if tonumber(token[3]) > (tonumber(redis.call('HGET', KEYS[3], 'head')) or 0) then
  return {'not_admitted'}
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local pay_by = string.format('%.0f', now + ARGV[12])
redis.call('HSET', KEYS[2], 'order', ARGV[1])
redis.call('HSET', KEYS[1], 'order', ARGV[1], 'digest', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[14])
redis.call('HSET', KEYS[4], 'state', 'PLACING', 'account', ARGV[2], 'key', ARGV[3], 'run', ARGV[5], 'class', ARGV[6],
  'from', ARGV[7], 'to', ARGV[8], 'passengers', ARGV[9], 'amount_fen', ARGV[10], 'currency', ARGV[11],
  'created_ms', string.format('%.0f', now), 'pay_by_ms', pay_by, 'version', 1)
redis.call('ZADD', KEYS[5], string.format('%.0f', now + ARGV[13]), ARGV[1])
return {'begun', ARGV[1], pay_by}
