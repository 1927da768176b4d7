-- Binds an idempotency key of an account to one request for good, and keeps what came of the request. Whatever was
-- first stays: the request, the order that it is about, its outcome.
--
-- KEYS[1] idempotency key
-- ARGV[1] digest of the request   ARGV[2] id of the order that it is about   ARGV[3] outcome of the request, or ''
-- ARGV[4] order id that the key may be bound to but that has turned out to be another's, or ''
-- ARGV[5] life of the key in ms, from now
-- Returns {'bound', order id, outcome or ''}, or {'conflict'} when the key was used for another request.
local known = redis.call('HMGET', KEYS[1], 'digest', 'order', 'outcome')
if known[1] and known[1] ~= ARGV[1] then
  return {'conflict'}
end

local order, outcome = known[2], known[3] or ''
if not order or order == ARGV[4] then
  order = ARGV[2]
end
if outcome == '' then
  outcome = ARGV[3]
end
redis.call('HSET', KEYS[1], 'digest', ARGV[1], 'order', order, 'outcome', outcome)
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return {'bound', order, outcome}
