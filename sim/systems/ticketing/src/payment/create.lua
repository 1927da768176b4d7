-- Makes the one payment of an order, or finds it: an order is never charged twice.
--
-- A payment in CLOSED may stand there as a tombstone, because the order ended before this arrived. From here on a
-- new payment is persisted work: the bank is asked about it when it sends no news.
--
-- KEYS[1] payment   KEYS[2] payment-watch
-- ARGV[1] payment id   ARGV[2] order id   ARGV[3] account   ARGV[4] amount in fen
-- ARGV[5] wait in ms before the bank is asked   ARGV[6] '1' when the order can be paid
-- Returns {state, bank id or ''}, or {} when there is no payment and none may be made.
local payment = redis.call('HMGET', KEYS[1], 'state', 'bank_id')
if payment[1] then
  return {payment[1], payment[2] or ''}
end
if ARGV[6] ~= '1' then
  return {}
end

local time = redis.call('TIME')
local due = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[5]
redis.call('HSET', KEYS[1], 'state', 'CREATED', 'order', ARGV[2], 'account', ARGV[3], 'amount_fen', ARGV[4],
  'version', 0, 'attempts', 0)
redis.call('ZADD', KEYS[2], due, ARGV[1])
return {'CREATED', ''}
