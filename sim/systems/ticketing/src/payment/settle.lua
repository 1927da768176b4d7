-- All that a state of a payment asks for is done; unless the payment has moved on meanwhile, which asks for more.
--
-- KEYS[1] payment   KEYS[2] payment-work
-- ARGV[1] payment id   ARGV[2] the state that was dealt with
-- Returns 1 when nothing is left to do, otherwise 0.
if redis.call('HGET', KEYS[1], 'state') ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], 'settled', 1, 'attempts', 0)
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
