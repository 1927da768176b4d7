-- Writes the tickets of an order, unless they are written already; only while the order is in TICKETING, so that an
-- order that was given up meanwhile gets none.
--
-- KEYS[1] order   KEYS[2…] a ticket per passenger
-- ARGV[1] order id   ARGV[2] run   ARGV[3] class   ARGV[4] from   ARGV[5] to   ARGV[6…] label of the seat of each
-- Returns 'done', or 'refused' when the order is in another state.
if redis.call('HGET', KEYS[1], 'state') ~= 'TICKETING' then
  return 'refused'
end
for passenger = 1, #KEYS - 1 do
  local ticket = KEYS[passenger + 1]
  if redis.call('EXISTS', ticket) == 0 then
    redis.call('HSET', ticket, 'state', 'VALID', 'order', ARGV[1], 'run', ARGV[2], 'class', ARGV[3], 'from', ARGV[4],
      'to', ARGV[5], 'seat', ARGV[passenger + 5], 'passenger', passenger)
  end
end
return 'done'
