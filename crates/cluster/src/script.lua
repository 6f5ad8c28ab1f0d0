#!lua
-- One request of a member: the rules of `ledger.rs`, in one step that nothing interrupts.
-- Entries: `leases` has when they lapse, `has` what they hold and the number of the last request (and
-- "L" if they have lapsed and may still have work running), `wants` what the live ones want.
local leases, has, wants, meta = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, seq, want, used, claim = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local left, seen, elapsed, age = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local its_epoch, its_terms, its_since = tonumber(ARGV[10]), ARGV[11], tonumber(ARGV[12])
local dice, leaving = tonumber(ARGV[13]), ARGV[14] == '1'
-- Only tests give the last two.
local now, run = tonumber(ARGV[15]), ARGV[16]
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
if not run then
  run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
end
local max, min, floor = math.max, math.min, math.floor
local ABOVE_ALL = 1099511627776

local function terms_of(text)
  local total, least, members, ttl, hold, lag = string.match(text, '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+)$')
  return tonumber(total), tonumber(least), tonumber(members), tonumber(ttl), tonumber(hold), tonumber(lag)
end
local function entry_of(text)
  local held, number, lapsed = string.match(text, '^(%d+) (%d+)(L?)$')
  return tonumber(held), tonumber(number), lapsed == 'L'
end

-- What the pool is about, and whether a new epoch begins.
local m = redis.call('HMGET', meta, 'run', 'epoch', 'from', 'quiet', 'at', 'sum', 'reserved', 'level',
  'extra', 'tops', 'levelled', 'since', 'terms')
local begins = false
-- Of four keys, each can be evicted or deleted alone.
if not m[1] or redis.call('ZCARD', leases) ~= redis.call('HLEN', has) then
  begins = true
  local known = tonumber(m[2]) or 0
  redis.call('DEL', leases, has, wants)
  local since = its_since > 0 and its_since or now
  m = {run, known, now, now, now, 0, 0, 0, 0, 0, 0, since, its_terms}
end
local known_run, epoch, from, quiet, at = m[1], tonumber(m[2]), tonumber(m[3]), tonumber(m[4]), tonumber(m[5])
local sum, reserved, level, extra = tonumber(m[6]), tonumber(m[7]), tonumber(m[8]), tonumber(m[9])
local tops, levelled, since, terms = tonumber(m[10]), tonumber(m[11]), tonumber(m[12]), m[13]
local total, least, set_aside_for, ttl, hold, lag = terms_of(terms)
local longest, longest_lag = ttl, lag
if its_terms ~= terms and (its_since == 0 or its_since > since) then
  local old_ttl, old_lag = ttl, lag
  terms = its_terms
  total, least, set_aside_for, ttl, hold, lag = terms_of(terms)
  longest, longest_lag = max(ttl, old_ttl), max(lag, old_lag)
  begins = begins or ttl ~= old_ttl or lag ~= old_lag
  since = its_since == 0 and max(now, since + 1) or its_since
  levelled = 0
end
local margin = floor(ttl / 10)
local jumped = now + margin < at
  or (now > at + margin and its_epoch == epoch and seen > 0 and now > seen + elapsed + margin)
if begins or known_run ~= run or its_epoch > epoch or jumped then
  epoch = max(epoch, its_epoch) + 1
  from, quiet, at, levelled = now, now + longest + longest_lag, now, 0
  -- Those that are known may be alive.
  for _, member in ipairs(redis.call('ZRANGE', leases, 0, -1)) do
    local _, _, lapsed = entry_of(redis.call('HGET', has, member))
    redis.call('ZADD', leases, now + (lapsed and hold or longest), member)
  end
end

-- Those that have lapsed are cleared away, if it is sure that time has passed.
if now <= at + margin or (its_epoch == epoch and seen > 0 and (seen <= at or age >= ttl))
  or redis.call('ZCARD', leases) == 0 then
  at = max(at, now)
  for _ = 1, 100 do
    local first = redis.call('ZRANGE', leases, 0, 0, 'WITHSCORES')
    if not first[1] or tonumber(first[2]) > now then break end
    local member, expires = first[1], tonumber(first[2])
    local held, number, lapsed = entry_of(redis.call('HGET', has, member))
    if lapsed then
      reserved = reserved - held
    elseif held > level then
      tops = max(tops - 1, 0)
    end
    redis.call('HDEL', wants, member)
    if not lapsed and held > 0 and hold > 0 then
      redis.call('HSET', has, member, string.format('%.0f %.0fL', held, number))
      redis.call('ZADD', leases, expires + hold, member)
      reserved = reserved + held
    else
      sum = sum - held
      redis.call('ZREM', leases, member)
      redis.call('HDEL', has, member)
    end
  end
end

-- The member's own entry is taken out.
local own, number, lapsed = 0, 0, false
local entry = redis.call('HGET', has, id)
local stale = false
if entry then
  own, number, lapsed = entry_of(entry)
  stale = seq <= number
end
local share, fair = 0, 0
local members
if not stale then
  if lapsed then
    reserved = reserved - own
  elseif own > level then
    tops = max(tops - 1, 0)
  end
  sum = sum - own
  if leaving then
    redis.call('HDEL', wants, id)
    local held = min(own, used)
    if held > 0 and hold > 0 then
      sum, reserved = sum + held, reserved + held
      redis.call('ZADD', leases, now + hold, id)
      redis.call('HSET', has, id, string.format('%.0f %.0fL', held, seq))
    else
      redis.call('ZREM', leases, id)
      redis.call('HDEL', has, id)
    end
    members = redis.call('HLEN', wants)
  else
    redis.call('ZADD', leases, now + ttl, id)
    redis.call('HSET', wants, id, string.format('%.0f', want))
    members = redis.call('HLEN', wants)
    local to_lease = max(total - least * max(set_aside_for, members), 0)
    -- The water level: the largest number so that all get what they want, but no more than that.
    if members <= 32 or now >= levelled + floor(ttl / 15) or now < levelled then
      local values = redis.call('HVALS', wants)
      for i = 1, members do values[i] = tonumber(values[i]) end
      table.sort(values)
      local rest = max(to_lease - reserved, 0)
      level, extra = ABOVE_ALL, 0
      for i = 1, members do
        local others = members - i + 1
        if values[i] * others > rest then
          level, extra = floor(rest / others), rest % others
          break
        end
        rest = rest - values[i]
      end
      -- Who holds more than that, this member not counted.
      tops = 0
      if level < ABOVE_ALL then
        local all = redis.call('HGETALL', has)
        for i = 1, #all, 2 do
          if all[i] ~= id then
            local held, _, gone = entry_of(all[i + 1])
            if not gone and held > level then tops = tops + 1 end
          end
        end
      end
      levelled = now
    end
    local room = max(to_lease - sum, 0)
    -- Where there is not one for each, those that have one pass it on from time to time.
    local passes_on = level == 0 and own > 0 and (claim == 0 or (tops + 1 >= extra and dice < 64))
    fair = min(want, level + ((tops < extra and not passes_on) and 1 or 0))
    -- What is in force stays the member's own until it says that it is not any more.
    local held = min(own, max(claim, used))
    if now < quiet then
      local outlasts = left > 0 and (its_epoch == epoch or now + left >= from + lag)
      held = max(held, min(used, room))
      share = outlasts and min(claim, room) or 0
      fair = share
    else
      share = min(fair, room)
    end
    held = max(held, share)
    sum = sum + held
    if held > level then tops = tops + 1 end
    redis.call('HSET', has, id, string.format('%.0f %.0f', held, seq))
  end
else
  members = redis.call('HLEN', wants)
end

redis.call('HSET', meta, 'run', run, 'epoch', epoch, 'from', from, 'quiet', quiet, 'at', at, 'sum', sum,
  'reserved', reserved, 'level', level, 'extra', extra, 'tops', tops, 'levelled', levelled, 'since', since,
  'terms', terms)
-- A pool that nobody has used for a day is forgotten.
local keep = max(86400000, 10 * (ttl + hold + lag))
for i = 1, 4 do redis.call('PEXPIRE', KEYS[i], keep) end
return {seq, stale and 1 or 0, share, fair, members, epoch, max(quiet - now, 0), now, since,
  total, least, set_aside_for, ttl, hold, lag}
