-- The admission law: lets waiting places of a queue leave at min(share of what remains, most) orders per second.
--
-- What remains is counted in the smallest unit of stock, free seats of segments, over all classes of the run. The
-- head of the queue moves on by the orders that could leave since it moved last, in steps of at least STEP_MS; parts
-- of an order are kept as credit. A queue in which nobody waits saves up one order at most, so a lull is no burst; a
-- new one has it.
--
-- KEYS[1] queue of the run   KEYS[2…] stock of its classes
-- ARGV[1] share that leaves per second   ARGV[2] most that leave per second
-- Returns {head, tail, what remains, now in ms}: places up to head are admitted, those up to tail are taken.
local STEP_MS = 250

local queue = redis.call('HMGET', KEYS[1], 'head', 'tail', 'credit_milli', 'advanced_ms', 'remaining')
local head, tail = tonumber(queue[1]) or 0, tonumber(queue[2]) or 0
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local advanced = tonumber(queue[4])
if advanced and now < advanced then
  -- The clock was set back. Nobody must wait until it is again where it was.
  redis.call('HSET', KEYS[1], 'advanced_ms', now)
  advanced = now
end
if advanced and now - advanced < STEP_MS then
  return {head, tail, tonumber(queue[5]), now}
end

local remaining = 0
for i = 2, #KEYS do
  for _, seats in ipairs(redis.call('HVALS', KEYS[i])) do
    remaining = remaining + seats
  end
end

local rate = math.min(remaining * ARGV[1], tonumber(ARGV[2]))
local credit_milli = (tonumber(queue[3]) or 1000) + rate * (now - (advanced or now))
local leaving = math.min(math.floor(credit_milli / 1000), tail - head)
head = head + leaving
credit_milli = credit_milli - leaving * 1000
if head == tail then
  credit_milli = math.min(credit_milli, 1000)
end
redis.call('HSET', KEYS[1], 'head', head, 'credit_milli', string.format('%.3f', credit_milli),
  'advanced_ms', now, 'remaining', remaining)
return {head, tail, remaining, now}
