-- What the live store does inside the server: each function checks everything first and writes last, because scripts
-- do not roll back. The suffix of every name is a hash of this text, so that two releases live side by side.
--
-- Head of a room (hash): fence (epoch and nonce, hex, fixed width), last (20 digits), chain (hex), stage, reason, kind,
-- listing, repl (replication id at the last seal), first (20 digits), s1 and s0 (newest and older published
-- snapshot, "last:chain"), n1 and n0 (the position after each, 20 digits), staged (written, not yet published).
--
-- Every function starts with args[1], "1" if replicas are waited for: WAIT covers only what this connection wrote, so an
-- answer that tells of others' writes has to write something too. (Not `take`, which is about no room.)

-- Is a below b? Both of one width. Not "<", which asks the locale.
local function below(a, b)
  for i = 1, #a do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then
      return x < y
    end
  end
  return false
end

local function id(padded)
  return string.gsub(padded, '^0+', '') .. '-0'
end

-- Changes when this data set is served by another server, or by this one after a restart.
local function replication()
  return string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
end

local function head(key)
  local h = redis.call('HMGET', key, 'fence', 'last', 'chain', 'stage', 'reason', 'repl', 'first', 's1', 's0', 'n0', 'staged')
  if not h[1] then
    return nil
  end
  return {
    fence = h[1], last = h[2], chain = h[3], stage = h[4], reason = h[5], repl = h[6], first = h[7],
    s1 = h[8], s0 = h[9], n0 = h[10], staged = h[11],
  }
end

local function seen(key, sync, answer)
  if sync == '1' then
    redis.call('HSET', key, 'seen', '1')
  end
  return answer
end

local function out_of_service(h)
  if h.stage == 'closed' then
    return { 'CLOSED' }
  end
  if h.stage == 'quarantined' then
    return { 'QUARANTINED', h.reason }
  end
  return nil
end

-- The fence first: a fenced owner must learn that, whatever else. An owner that sealed under another replication id
-- is told the same, with its own token as the fence: it has to ask the arbiter and seal again.
local function refused(h, token)
  if h.fence ~= token then
    return { 'FENCED', h.fence }
  end
  local out = out_of_service(h)
  if out then
    return out
  end
  if h.repl ~= replication() then
    return { 'FENCED', h.fence }
  end
  return nil
end

-- The chain at a position; the record after it knows. Nil when that was dropped.
local function chain_at(journal, h, seq, after)
  if seq == h.last then
    return h.chain
  end
  local entry = redis.call('XRANGE', journal, after, after)[1]
  if not entry then
    return nil
  end
  return (string.gsub(string.sub(entry[2][2], 21, 36), '.', function(c)
    return string.format('%02x', string.byte(c))
  end))
end

local function object(key, pointer)
  return string.sub(key, 1, -5) .. 's:' .. pointer
end

-- args: sync, token, chain at the start, kind, listing, "1" if too large
local function register(keys, args)
  local h = head(keys[1])
  if h then
    if h.fence ~= args[2] then
      return seen(keys[1], args[1], { 'EXISTS', h.fence })
    end
    return seen(keys[1], args[1], out_of_service(h) or { 'AT', h.last, h.chain })
  end
  if args[6] == '1' then
    return { 'LARGE' }
  end
  local zero = string.rep('0', 20)
  redis.call('HSET', keys[1], 'fence', args[2], 'last', zero, 'chain', args[3], 'stage', 'live', 'kind', args[4],
    'listing', args[5], 'repl', replication(), 'first', string.rep('0', 19) .. '1')
  return { 'AT', zero, args[3] }
end

-- args: sync, token, position before, chain before, count, position after, chain after, "1" if too large,
-- id after the last record, then id and bytes of each record
local function append(keys, args)
  local h = head(keys[1])
  if not h then
    return { 'NONE' }
  end
  local no = refused(h, args[2])
  if no then
    return seen(keys[1], args[1], no)
  end
  local gap = { 'GAP', h.last, h.chain }
  if h.last ~= args[3] then
    local inside = args[5] ~= '0' and args[8] == '0' and not below(h.last, args[6])
    if inside and chain_at(keys[2], h, args[6], args[9]) == args[7] then
      return seen(keys[1], args[1], { 'AT', args[6], args[7] })
    end
    return seen(keys[1], args[1], gap)
  end
  if h.chain ~= args[4] then
    return seen(keys[1], args[1], gap)
  end
  if args[8] == '1' then
    return seen(keys[1], args[1], { 'LARGE' })
  end
  if args[5] == '0' then
    return seen(keys[1], args[1], { 'AT', h.last, h.chain })
  end
  for i = 10, #args, 2 do
    redis.call('XADD', keys[2], args[i], 'r', args[i + 1])
  end
  redis.call('HSET', keys[1], 'last', args[6], 'chain', args[7])
  return { 'AT', args[6], args[7] }
end

-- args: sync, token
local function seal(keys, args)
  local h = head(keys[1])
  if not h then
    return { 'NONE' }
  end
  if below(args[2], h.fence) then
    return seen(keys[1], args[1], { 'FENCED', h.fence })
  end
  local out = out_of_service(h)
  if out then
    return seen(keys[1], args[1], out)
  end
  redis.call('HSET', keys[1], 'fence', args[2], 'repl', replication())
  return { 'AT', h.last, h.chain }
end

-- args: sync, token, listing, "1" if too large
local function relist(keys, args)
  local h = head(keys[1])
  if not h then
    return { 'NONE' }
  end
  local no = refused(h, args[2]) or (args[4] == '1' and { 'LARGE' })
  if no then
    return seen(keys[1], args[1], no)
  end
  redis.call('HSET', keys[1], 'listing', args[3])
  return { 'DONE' }
end

-- args: sync, token, lowest position to keep
local function truncate(keys, args)
  local h = head(keys[1])
  if not h then
    return { 'NONE' }
  end
  local no = refused(h, args[2])
  if no then
    return seen(keys[1], args[1], no)
  end
  local keep = args[3]
  if not h.n0 then
    keep = h.first
  elseif below(h.n0, keep) then
    keep = h.n0
  end
  if not below(h.first, keep) then
    return seen(keys[1], args[1], { 'KEPT', h.first })
  end
  redis.call('XTRIM', keys[2], 'MINID', id(keep))
  redis.call('HSET', keys[1], 'first', keep)
  return { 'KEPT', keep }
end

-- Why an image at this position may not be published; nil if it may.
local function unfit(keys, h, seq, chain, after, pointer, bytes)
  local newest = h.s1 and string.sub(h.s1, 1, 20)
  if newest and not below(newest, seq) then
    if h.s1 == pointer and (not bytes or redis.call('GET', object(keys[1], pointer)) == bytes) then
      return { 'SAME' }
    end
    return { 'STALE', newest }
  end
  if below(h.last, seq) or chain_at(keys[2], h, seq, after) ~= chain then
    return { 'FUTURE', h.last }
  end
  return nil
end

-- Writes an image aside. args: sync, token, position, chain, id after it, pointer, "1" if too large, bytes
local function stage(keys, args)
  local h = head(keys[1])
  if not h then
    return { 'NONE' }
  end
  local no = refused(h, args[2]) or (args[7] == '1' and { 'LARGE' })
    or unfit(keys, h, args[3], args[4], args[5], args[6], args[8])
  if no then
    return seen(keys[1], args[1], no)
  end
  if h.staged and h.staged ~= args[6] and h.staged ~= h.s1 and h.staged ~= h.s0 then
    redis.call('UNLINK', object(keys[1], h.staged))
  end
  redis.call('SET', keys[3], args[8])
  redis.call('HSET', keys[1], 'staged', args[6])
  return { 'DONE' }
end

-- Makes the image visible. args: sync, token, position, chain, id after it, pointer, position after it
local function publish(keys, args)
  local h = head(keys[1])
  if not h then
    return { 'NONE' }
  end
  local no = refused(h, args[2]) or unfit(keys, h, args[3], args[4], args[5], args[6], nil)
  if no then
    return seen(keys[1], args[1], no)
  end
  if h.staged ~= args[6] then
    return seen(keys[1], args[1], { 'GONE' })
  end
  if h.s0 then
    redis.call('UNLINK', object(keys[1], h.s0))
  end
  if h.s1 then
    redis.call('HSET', keys[1], 's0', h.s1, 'n0', redis.call('HGET', keys[1], 'n1'))
  end
  redis.call('HSET', keys[1], 's1', args[6], 'n1', args[7])
  redis.call('HDEL', keys[1], 'staged')
  return { 'DONE' }
end

-- args: sync, token, retention in milliseconds
local function close(keys, args)
  local h = head(keys[1])
  if not h then
    return { 'NONE' }
  end
  local no = refused(h, args[2])
  if no then
    if no[1] == 'CLOSED' then
      no = { 'DONE' }
    end
    return seen(keys[1], args[1], no)
  end
  redis.call('HSET', keys[1], 'stage', 'closed')
  local all = { keys[1], keys[2] }
  for _, pointer in ipairs({ h.s1 or '', h.s0 or '', h.staged or '' }) do
    if pointer ~= '' then
      all[#all + 1] = object(keys[1], pointer)
    end
  end
  for _, key in ipairs(all) do
    redis.call('PEXPIRE', key, args[3])
  end
  return { 'DONE' }
end

-- args: sync, reason, "1" if too large
local function quarantine(keys, args)
  local h = head(keys[1])
  if not h then
    return { 'NONE' }
  end
  if h.stage == 'closed' then
    return seen(keys[1], args[1], { 'CLOSED' })
  end
  if h.stage == 'quarantined' then
    return seen(keys[1], args[1], { 'DONE' })
  end
  if args[3] == '1' then
    return seen(keys[1], args[1], { 'LARGE' })
  end
  redis.call('HSET', keys[1], 'stage', 'quarantined', 'reason', args[2])
  return { 'DONE' }
end

-- args: sync
local function lift(keys, args)
  local h = head(keys[1])
  if not h then
    return { 'NONE' }
  end
  if h.stage == 'closed' then
    return seen(keys[1], args[1], { 'CLOSED' })
  end
  redis.call('HSET', keys[1], 'stage', 'live')
  redis.call('HDEL', keys[1], 'reason')
  return { 'DONE' }
end

-- One consistent look. args: sync, which image: "1" newest, "0" older, "-" none
local function load(keys, args)
  local h = head(keys[1])
  if not h then
    return { 'NONE' }
  end
  local pointer = (args[2] == '1' and h.s1) or (args[2] == '0' and h.s0) or false
  local image, from = false, '-'
  if pointer then
    image = redis.call('GET', object(keys[1], pointer))
    from = '(' .. id(string.sub(pointer, 1, 20))
    if string.sub(from, 2, 2) == '-' then
      from = '-'
    end
  end
  local records = {}
  for n, entry in ipairs(redis.call('XRANGE', keys[2], from, '+')) do
    records[n] = entry[2][2]
  end
  return seen(keys[1], args[1], { 'LOADED', h.fence, h.last, h.chain, pointer or '', image or '', records, h.s0 or '' })
end

-- What the directory shows. args: sync
local function look(keys, args)
  local h = redis.call('HMGET', keys[1], 'fence', 'last', 'stage', 'reason', 'kind', 'listing')
  if not h[1] then
    return { 'NONE' }
  end
  return seen(keys[1], args[1], { 'HEAD', h[1], h[2], h[3], h[4] or '', h[5], h[6] })
end

-- The names in a directory. args: sync
local function members(keys, args)
  local names = redis.call('HKEYS', keys[1])
  if names[1] and args[1] == '1' then
    -- No id has a colon: the caller drops it.
    redis.call('HSET', keys[1], ':seen', '1')
  end
  return { 'NAMES', names }
end

-- Puts a name into a directory; before its head is written, so that no room is without. args: sync, name
local function enlist(keys, args)
  redis.call('HSET', keys[1], args[2], redis.call('TIME')[1])
  return { 'DONE' }
end

-- Takes a name out whose room is closed, or whose head never came. args: sync, name, least age in seconds
local function delist(keys, args)
  local since = redis.call('HGET', keys[1], args[2])
  if since and tonumber(redis.call('TIME')[1]) - tonumber(since) >= tonumber(args[3]) then
    redis.call('HDEL', keys[1], args[2])
  end
  return { 'DONE' }
end

-- One from a bucket, kept as the microsecond at which it is full again; of a full bucket nothing is kept.
-- args: size, microseconds in which an empty one is full. Answer: 1 and what is left, or 0 and the microseconds to wait.
local function take(keys, args)
  local size, fill = tonumber(args[1]), tonumber(args[2])
  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
  local ahead = math.max(0, tonumber(redis.call('GET', keys[1]) or '0') - now)
  -- No bucket is emptier than empty, whatever it was before and whatever clock wrote it.
  ahead = math.min(ahead, fill) + fill / size
  if ahead > fill then
    return { 0, math.ceil(math.min(ahead - fill, fill)) }
  end
  redis.call('SET', keys[1], string.format('%.0f', now + math.floor(ahead)), 'PX', math.floor(ahead / 1000) + 1)
  return { 1, math.floor((fill - math.floor(ahead)) * size / fill) }
end

-- Those that add data are refused when the memory is full; those that free it or guard it are not. One by one:
-- nothing but redis.register_function is there while a library is loaded.
local function adds(name, call)
  redis.register_function({ function_name = 'everplay_' .. name .. '_@', callback = call })
end
local function guards(name, call)
  redis.register_function({ function_name = 'everplay_' .. name .. '_@', callback = call, flags = { 'allow-oom' } })
end
adds('register', register)
adds('append', append)
adds('relist', relist)
adds('stage', stage)
adds('enlist', enlist)
adds('take', take)
guards('seal', seal)
guards('truncate', truncate)
guards('publish', publish)
guards('close', close)
guards('quarantine', quarantine)
guards('lift', lift)
guards('load', load)
guards('head', look)
guards('members', members)
guards('delist', delist)
