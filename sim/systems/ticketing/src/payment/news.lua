-- Takes in what the bank says about a payment, from a callback or as an answer: idempotent by payment and version,
-- older versions are dropped. What has to be done about it becomes work in the same step.
--
-- KEYS[1] payment   KEYS[2] payment-work   KEYS[3] payment-watch
-- ARGV[1] payment id   ARGV[2] version   ARGV[3] state at the bank   ARGV[4] captured amount in fen
-- ARGV[5] bank id   ARGV[6] wait in ms before the work is due for everybody
-- Returns {1 if this is new otherwise 0, state of the payment now}; '' for a payment that does not exist.
local payment = redis.call('HMGET', KEYS[1], 'state', 'version', 'amount_fen')
local state = payment[1]
if not state then
  return {0, ''}
end
redis.call('HSETNX', KEYS[1], 'bank_id', ARGV[5])
if tonumber(ARGV[2]) <= tonumber(payment[2]) then
  return {0, state}
end
redis.call('HSET', KEYS[1], 'version', ARGV[2])

local function moves_to(next, settled)
  state = next
  redis.call('HSET', KEYS[1], 'state', next, 'settled', settled, 'attempts', 0)
  redis.call('ZREM', KEYS[3], ARGV[1])
  if settled == 1 then
    redis.call('ZREM', KEYS[2], ARGV[1])
  else
    local time = redis.call('TIME')
    local due = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[6]
    redis.call('ZADD', KEYS[2], due, ARGV[1])
  end
end

if ARGV[3] == 'CAPTURED' then
  redis.call('HSET', KEYS[1], 'captured_fen', ARGV[4])
  if state == 'CREATED' and ARGV[4] == payment[3] then
    moves_to('CAPTURED', 0)
  elseif state == 'CREATED' or state == 'CLOSED' then
    -- Not what was asked for, or not wanted any more.
    moves_to('REFUNDING', 0)
  end
elseif ARGV[3] == 'REFUNDED' and state == 'REFUNDING' then
  moves_to('REFUNDED', 1)
elseif ARGV[3] == 'CLOSED' and (state == 'CREATED' or state == 'CLOSED') then
  moves_to('CLOSED', 1)
end
return {1, state}
