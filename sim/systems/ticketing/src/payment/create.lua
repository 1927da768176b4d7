-- Makes the one payment of an order, or finds it: an order is never charged twice.
--
-- A payment in CLOSED may stand there as a tombstone, because the order ended before this arrived. From here on a
-- new payment is persisted work: the bank is asked about it when it sends no news.
--
-- KEYS[1] payment   KEYS[2] idempotency key   KEYS[3] payment-watch
-- ARGV[1] payment id   ARGV[2] order id   ARGV[3] account   ARGV[4] amount in fen   ARGV[5] digest of the request
-- ARGV[6] life of the key in ms   ARGV[7] wait in ms before the bank is asked   ARGV[8] '1' when the order can be paid
-- Returns {'payment', state, bank id or '', 1 if this key was used for it before}, {'not_payable'} when there is
-- none and none may be made, or {'conflict'} when the key was used for another request.
local digest = redis.call('HGET', KEYS[2], 'digest')
if digest and digest ~= ARGV[5] then
  return {'conflict'}
end

local payment = redis.call('HMGET', KEYS[1], 'state', 'bank_id')
local state = payment[1]
if not state then
  if ARGV[8] ~= '1' then
    return {'not_payable'}
  end
  state = 'CREATED'
  local time = redis.call('TIME')
  local due = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[7])
  redis.call('HSET', KEYS[1], 'state', state, 'order', ARGV[2], 'account', ARGV[3], 'amount_fen', ARGV[4],
    'version', 0, 'attempts', 0)
  redis.call('ZADD', KEYS[3], due, ARGV[1])
end
redis.call('HSET', KEYS[2], 'order', ARGV[2], 'digest', ARGV[5])
redis.call('PEXPIRE', KEYS[2], ARGV[6])
return {'payment', state, payment[2] or '', digest and '1' or '0'}
