/** What Redis does for one look at a bucket: the same as `Buckets.take`, by its own clock. */
import { ROUNDING_MS } from './bucket.ts';

/**
 * In place of the library's own script, which counts in windows of whole seconds: up to twice the limit around a border,
 * and never expiring below a second. ARGV: how many to take, 1 + how many ms ahead, the bucket's size, seconds for one more.
 * Gives {size + 1, ms to wait} for a refusal, which the library takes for one, and {0, ms to wait} otherwise.
 */
export const TAKE = `
local time = redis.call('time')
local now = time[1] * 1000 + time[2] / 1000
local interval = tonumber(ARGV[4]) * 1000
local full = tonumber(redis.call('get', KEYS[1]) or '0')
if full < now then full = now end
full = full + tonumber(ARGV[1]) * interval
local wait = full - now - tonumber(ARGV[3]) * interval - ${ROUNDING_MS}
if wait > tonumber(ARGV[2]) - 1 then return {tonumber(ARGV[3]) + 1, math.ceil(wait)} end
if ARGV[1] ~= '0' then
  if full > now then
    redis.call('set', KEYS[1], string.format('%.3f', full), 'PX', math.ceil(full - now))
  else
    redis.call('del', KEYS[1])
  end
end
return {0, math.max(0, math.ceil(wait))}
`;
