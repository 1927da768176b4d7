-- Closes an unpaid order for its buyer, and remembers the answer under the idempotency key, so that the same key
-- gets the same answer whatever becomes of the order.
--
-- KEYS[1] idempotency key   KEYS[2] order   KEYS[3] order-expiry   KEYS[4] order-cleanup
-- ARGV[1] order id   ARGV[2] account   ARGV[3] digest of the request   ARGV[4] life of the key in ms
-- ARGV[5] wait in ms before the cleanup is due
-- Returns {'closed', 1 if closed by this call}, {'too_late', state}, {'not_found'}, or {'conflict'} when the key
-- was used for another request.
local known = redis.call('HMGET', KEYS[1], 'digest', 'outcome', 'state')
if known[1] then
  if known[1] ~= ARGV[3] then
    return {'conflict'}
  end
  return {known[2], known[3]}
end

local order = redis.call('HMGET', KEYS[2], 'account', 'state')
local state = order[2]
if order[1] ~= ARGV[2] or state == 'PLACING' or state == 'REJECTED' then
  return {'not_found'}
end

local outcome, answer = 'too_late', state
if state == 'WAIT_PAY' then
  local time = redis.call('TIME')
  local due = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[5])
  redis.call('HSET', KEYS[2], 'state', 'CLOSED', 'reason', 'cancelled')
  redis.call('HINCRBY', KEYS[2], 'version', 1)
  redis.call('ZREM', KEYS[3], ARGV[1])
  redis.call('ZADD', KEYS[4], due, ARGV[1])
  outcome, answer = 'closed', '1'
elseif state == 'CLOSED' then
  outcome, answer = 'closed', '0'
end
redis.call('HSET', KEYS[1], 'order', ARGV[1], 'digest', ARGV[3], 'outcome', outcome,
  'state', outcome == 'closed' and '0' or answer)
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return {outcome, answer}
