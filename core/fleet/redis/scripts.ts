/**
 * What Redis does in one step, by its own clock. `KEYS[1]` is what all keys of the fleet begin with, with its name as hash tag: all of them are in one slot of a cluster.
 *
 * `live` ZSET: instance → until when it lives · `inst` HASH: instance → text · `num` HASH: instance → number · `n:<number>` STRING: instance · `changes` STRING: how many
 * changes there were of those that live and of what they tell · `told` ZSET: instance that lives → its last change · `gone` ZSET: instance that lives no more → the change
 * that took it · `forgotten` STRING: the last change that `gone` does not have any more · `epoch` STRING, `server` STRING: its run id · `p` HASH: place → total · `i:<instance>` HASH: place → how many it has · `dead` LIST of hashes `d:<n>` that were
 * an `i:<instance>`, each with how far it has been taken off the totals · `b:<board>` HASH: field → entry · `until:<board>` ZSET: field → when it leaves · `log:<board>`
 * STREAM of changes, `<place>-0` · `seq:<board>` STRING: the place of the last · `post:<instance>` STREAM · `lock:<task>` STRING: instance.
 */
import { INSTANCE_NUMBERS } from '../../contract/instance-numbers.ts';

const { first, last } = INSTANCE_NUMBERS;
const NUMBERS = last - first + 1;
/** Milliseconds: how long a number is kept for one that does not live, and how long post is. */
const [NUMBER_KEPT_MS, POST_KEPT_MS] = [30_000, 60_000];
/** Messages; those before are lost to an instance that does not read. */
const MOST_POST = 10_000;
/** So many that live no more are remembered: whoever knows only what was before them hears all. */
const MOST_GONE = 2_000;
/** Values that are given to one command: Lua has room for some 8 000. */
const AT_ONCE = 1_000;
/** Places of the dead that are taken off at a time: a millisecond or two of Redis. */
const FREED_AT_ONCE = 500;

const NOW = `
local key = KEYS[1]
local time = redis.call('time')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
`;

/** Adds to the totals of places; those without any are no more. */
const ADD = `
local function add(places, differences)
  local totals = redis.call('hmget', key .. 'p', unpack(places))
  local set, gone = {}, {}
  for i, place in ipairs(places) do
    local total = tonumber(totals[i] or 0) + differences[i]
    if total > 0 then
      set[#set + 1] = place
      set[#set + 1] = total
    elseif totals[i] then
      gone[#gone + 1] = place
    end
  end
  if #set > 0 then redis.call('hset', key .. 'p', unpack(set)) end
  if #gone > 0 then redis.call('hdel', key .. 'p', unpack(gone)) end
end
`;

/** An instance lives no more. What it had is put aside, so that it begins with nothing if it comes back, and {@link FREE} takes that off. */
const FORGET = `
local function forget(id)
  redis.call('zrem', key .. 'live', id)
  redis.call('hdel', key .. 'inst', id)
  redis.call('hdel', key .. 'num', id)
  redis.call('zrem', key .. 'told', id)
  redis.call('zadd', key .. 'gone', redis.call('incr', key .. 'changes'), id)
  if redis.call('zcard', key .. 'gone') > ${MOST_GONE} then
    redis.call('set', key .. 'forgotten', redis.call('zpopmin', key .. 'gone')[2])
  end
  if redis.call('exists', key .. 'i:' .. id) == 1 then
    local aside = 'd:' .. redis.call('incr', key .. 'deaths')
    redis.call('rename', key .. 'i:' .. id, key .. aside)
    redis.call('rpush', key .. 'dead', aside .. ' 0')
  end
end
`;

/** Takes some of what the dead had off the totals. Gives how many of them have more. */
const FREE = `
local function free()
  local budget = ${FREED_AT_ONCE}
  while budget > 0 do
    local first = redis.call('lindex', key .. 'dead', 0)
    if not first then return 0 end
    local aside, cursor = first:match('^(%S+) (%S+)$')
    local found = redis.call('hscan', key .. aside, cursor, 'count', budget)
    local places, differences = {}, {}
    for i = 1, #found[2], 2 do
      places[#places + 1] = found[2][i]
      differences[#differences + 1] = -found[2][i + 1]
    end
    if #places > 0 then
      add(places, differences)
      redis.call('hdel', key .. aside, unpack(places))
    end
    if redis.call('exists', key .. aside) == 0 then
      redis.call('lpop', key .. 'dead')
    else
      redis.call('lset', key .. 'dead', 0, aside .. ' ' .. found[1])
    end
    budget = budget - math.max(#places, 10)
  end
  return redis.call('llen', key .. 'dead')
end
`;

/** Those of a list that live: instance, text, and number or an empty text, one after the other. */
const TEXTS = `
local function textsOf(ids)
  local told = {}
  for from = 1, #ids, ${AT_ONCE} do
    local some = {unpack(ids, from, math.min(from + ${AT_ONCE - 1}, #ids))}
    local texts = redis.call('hmget', key .. 'inst', unpack(some))
    local numbers = redis.call('hmget', key .. 'num', unpack(some))
    for i, id in ipairs(some) do
      if texts[i] then
        told[#told + 1] = id
        told[#told + 1] = texts[i]
        told[#told + 1] = numbers[i] or ''
      end
    end
  end
  return told
end
`;

/**
 * ARGV: instance, its text, ms to live, the number it would like or 0, where the search for one begins, a random text for what needs a new one, the epoch and the change up to
 * which it knows who lives, the run id of the server or an empty text, and boards. Another server may have lost changes, and so has another epoch. Gives whether it lived, its
 * number or 0, the epoch, whether there is more to free, the places of the boards, the last change, 1 if all follow and 0 if only what has changed since, texts and numbers by
 * instance, and those that live no more.
 */
export const BEAT = `${NOW}${ADD}${FORGET}${FREE}${TEXTS}
local id, random = ARGV[1], ARGV[6]
local gone = redis.call('zrangebyscore', key .. 'live', '-inf', now)
for _, dead in ipairs(gone) do forget(dead) end
local more = free()

local function isFree(number)
  local by = redis.call('get', key .. 'n:' .. number)
  return not by or by == id
end
local number = tonumber(redis.call('hget', key .. 'num', id) or ARGV[4])
if number == 0 or not isFree(number) then
  number = 0
  for i = 0, ${NUMBERS - 1} do
    local next = (ARGV[5] + i) % ${NUMBERS} + ${first}
    if isFree(next) then
      number = next
      break
    end
  end
end
local renumbered = tonumber(redis.call('hget', key .. 'num', id) or 0) ~= number
if number > 0 then
  redis.call('set', key .. 'n:' .. number, id, 'PX', ${NUMBER_KEPT_MS})
  if renumbered then redis.call('hset', key .. 'num', id, number) end
elseif renumbered then
  redis.call('hdel', key .. 'num', id)
end

local lived = 1 - redis.call('zadd', key .. 'live', now + ARGV[3], id)
local server = ARGV[9]
if server ~= '' and server ~= redis.call('get', key .. 'server') then
  redis.call('set', key .. 'server', server)
  redis.call('set', key .. 'epoch', random)
else
  redis.call('set', key .. 'epoch', random, 'NX')
end
if lived == 0 then redis.call('zrem', key .. 'gone', id) end
if lived == 0 or renumbered or redis.call('hget', key .. 'inst', id) ~= ARGV[2] then
  redis.call('hset', key .. 'inst', id, ARGV[2])
  redis.call('zadd', key .. 'told', redis.call('incr', key .. 'changes'), id)
end

local seqs = {}
for i = 10, #ARGV do seqs[#seqs + 1] = key .. 'seq:' .. ARGV[i] end
local places = #seqs > 0 and redis.call('mget', unpack(seqs)) or {}
for i = 1, #seqs do places[i] = tonumber(places[i] or 0) end

local epoch = redis.call('get', key .. 'epoch')
local change = tonumber(redis.call('get', key .. 'changes'))
local known = tonumber(ARGV[8])
if ARGV[7] ~= epoch or known > change or known < tonumber(redis.call('get', key .. 'forgotten') or 0) then
  return {lived, number, epoch, more, places, change, 1, textsOf(redis.call('zrange', key .. 'live', 0, -1)), {}}
end
local told = textsOf(redis.call('zrangebyscore', key .. 'told', '(' .. known, '+inf'))
return {lived, number, epoch, more, places, change, 0, told, redis.call('zrangebyscore', key .. 'gone', '(' .. known, '+inf')}
`;

/** Gives how many of the dead have more. */
export const FREE_MORE = `${NOW}${ADD}${FREE}
return free()
`;

/** ARGV: instance. Gives how many of the dead have more. */
export const LEAVE = `${NOW}${ADD}${FORGET}${FREE}
local id = ARGV[1]
local number = redis.call('hget', key .. 'num', id)
if number and redis.call('get', key .. 'n:' .. number) == id then redis.call('del', key .. 'n:' .. number) end
forget(id)
redis.call('del', key .. 'post:' .. id)
return free()
`;

/** Of an instance that lives. */
const IF_IT_LIVES = `
local id = ARGV[1]
if tonumber(redis.call('zscore', key .. 'live', id) or 0) <= now then return -1 end
`;

/**
 * ARGV: instance, and for each place its key, how many the instance has with it, at least 1, and the limit or an empty text. Gives the first that is full from 1, 0,
 * or -1 if it does not live. Most logins of a fleet wait for this one: it has no more calls than it needs.
 */
export const TAKE = `${NOW}${IF_IT_LIVES}
local places = {}
for i = 2, #ARGV, 3 do places[#places + 1] = ARGV[i] end
if #places == 0 then return 0 end
local held = redis.call('hmget', key .. 'i:' .. id, unpack(places))
local totals = redis.call('hmget', key .. 'p', unpack(places))
local mine, all = {}, {}
for i, place in ipairs(places) do
  local total = (totals[i] or 0) + ARGV[i * 3] - (held[i] or 0)
  local limit = ARGV[i * 3 + 1]
  if limit ~= '' and total > tonumber(limit) then return i end
  mine[i * 2 - 1], mine[i * 2] = place, ARGV[i * 3]
  all[i * 2 - 1], all[i * 2] = place, total
end
redis.call('hset', key .. 'i:' .. id, unpack(mine))
redis.call('hset', key .. 'p', unpack(all))
return 0
`;

/** ARGV: instance, and for each place its key and how many the instance has. Gives 0, or -1 if it does not live. */
export const COUNT = `${NOW}${ADD}${IF_IT_LIVES}
local places = {}
for i = 2, #ARGV, 2 do places[#places + 1] = ARGV[i] end
if #places == 0 then return 0 end
local held = redis.call('hmget', key .. 'i:' .. id, unpack(places))
local changed, differences, set, gone = {}, {}, {}, {}
for i, place in ipairs(places) do
  local mine = ARGV[i * 2 + 1]
  if mine ~= (held[i] or '0') then
    changed[#changed + 1] = place
    differences[#differences + 1] = mine - (held[i] or 0)
    if mine == '0' then
      gone[#gone + 1] = place
    else
      set[#set + 1] = place
      set[#set + 1] = mine
    end
  end
end
if #set > 0 then redis.call('hset', key .. 'i:' .. id, unpack(set)) end
if #gone > 0 then redis.call('hdel', key .. 'i:' .. id, unpack(gone)) end
if #changed > 0 then add(changed, differences) end
return 0
`;

/** Takes what is over off a board. Nothing is logged: whoever has it knows until when. */
const EXPIRE = `
local board, ends = key .. 'b:' .. ARGV[1], key .. 'until:' .. ARGV[1]
local function expire()
  local over = redis.call('zrangebyscore', ends, '-inf', now, 'limit', 0, 1000)
  if #over == 0 then return false end
  redis.call('hdel', board, unpack(over))
  redis.call('zrem', ends, unpack(over))
  return true
end
`;

/**
 * ARGV: board, field, the entry or an empty text to drop it, when it leaves or an empty text, the change for the log, how long the log is, and what is expected: `any`,
 * `none`, or the tag behind `=`. Gives the place of the change, or 0 where something else is there than was expected.
 */
export const CHANGE = `${NOW}${EXPIRE}
local field, entry, till, expected = ARGV[2], ARGV[3], ARGV[4], ARGV[7]
while expire() do end
if expected ~= 'any' then
  local there = redis.call('hget', board, field)
  if (there and '=' .. cjson.decode(there).tag or 'none') ~= expected then return 0 end
end
if entry == '' then redis.call('hdel', board, field) else redis.call('hset', board, field, entry) end
if entry == '' or till == '' then redis.call('zrem', ends, field) else redis.call('zadd', ends, till, field) end
local seq = redis.call('incr', key .. 'seq:' .. ARGV[1])
redis.call('xadd', key .. 'log:' .. ARGV[1], 'MAXLEN', '~', ARGV[6], seq .. '-0', 'c', ARGV[5])
return seq
`;

/** ARGV: board. */
export const EXPIRED = `${NOW}${EXPIRE}
while expire() do end
return 0
`;

/** ARGV: instance, text. */
export const POST = `
local post = KEYS[1] .. 'post:' .. ARGV[1]
redis.call('xadd', post, 'MAXLEN', '~', ${MOST_POST}, '*', 't', ARGV[2])
redis.call('pexpire', post, ${POST_KEPT_MS})
return 0
`;

/** ARGV: task, instance, ms. Gives 1 if it has the lock. */
export const LOCK = `
local lock = KEYS[1] .. 'lock:' .. ARGV[1]
local by = redis.call('get', lock)
if by and by ~= ARGV[2] then return 0 end
redis.call('set', lock, ARGV[2], 'PX', ARGV[3])
return 1
`;

/** ARGV: task, instance. */
export const UNLOCK = `
local lock = KEYS[1] .. 'lock:' .. ARGV[1]
if redis.call('get', lock) == ARGV[2] then redis.call('del', lock) end
return 0
`;
