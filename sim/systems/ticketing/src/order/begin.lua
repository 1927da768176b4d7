-- Makes a new order in PLACING, and spends the queue token on it. From here on the order is persisted work: it is
-- opened, or given up when nobody has opened it in time. Idempotent by order id, which the idempotency key of the
-- submission is bound to already (service/idempotency.rs).
--
-- KEYS[1] order   KEYS[2] order-placing   KEYS[3] queue token   KEYS[4] place of the account in the queue
-- KEYS[5] queue of the run
-- ARGV[1] order id   ARGV[2] account   ARGV[3] idempotency key   ARGV[4] queue token
-- ARGV[5] run   ARGV[6] class   ARGV[7] from   ARGV[8] to   ARGV[9] passengers   ARGV[10] amount in fen
-- ARGV[11] currency   ARGV[12] time to pay in ms   ARGV[13] time to place in ms
-- Returns {'begun', payment deadline in ms}; {'resumed'} when the order was begun before; {'id_taken'} when the id is
-- that of an order with another idempotency key; {'token_refused'}; or {'not_admitted'}.
local known = redis.call('HMGET', KEYS[1], 'account', 'key')
if known[1] then
  return {known[1] == ARGV[2] and known[2] == ARGV[3] and 'resumed' or 'id_taken'}
end

local token = redis.call('HMGET', KEYS[3], 'run', 'account', 'position', 'order')
if token[1] ~= ARGV[5] or token[2] ~= ARGV[2] or token[4] then
  return {'token_refused'}
end
if tonumber(token[3]) > (tonumber(redis.call('HGET', KEYS[5], 'head')) or 0) then
  return {'not_admitted'}
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local pay_by = now + ARGV[12]
redis.call('HSET', KEYS[3], 'order', ARGV[1])
if redis.call('HGET', KEYS[4], 'token') == ARGV[4] then
  redis.call('DEL', KEYS[4])
end
redis.call('HSET', KEYS[1], 'state', 'PLACING', 'account', ARGV[2], 'key', ARGV[3], 'run', ARGV[5], 'class', ARGV[6],
  'from', ARGV[7], 'to', ARGV[8], 'passengers', ARGV[9], 'amount_fen', ARGV[10], 'currency', ARGV[11],
  'created_ms', now, 'pay_by_ms', pay_by, 'version', 1)
redis.call('ZADD', KEYS[2], now + ARGV[13], ARGV[1])
return {'begun', pay_by}
