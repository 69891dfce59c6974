-- wrk: an open loop. Requests are due at fixed distances whatever the server does, and latency counts from when a
-- request was due, not from when a connection was free to send it: a server that stalls cannot slow down its own load.
-- The first second opens the connections and is not counted. One thread only (-t1). Arguments: the file with the body,
-- requests a second, then one "Name: value" for each header.
local ffi = require("ffi")
ffi.cdef [[
  typedef struct { long seconds; long nanoseconds; } timespec_t;
  int clock_gettime(int clock, timespec_t *now);
]]
local now_at = ffi.new("timespec_t")

local function now_us()
  ffi.C.clock_gettime(1, now_at)
  return tonumber(now_at.seconds) * 1e6 + tonumber(now_at.nanoseconds) / 1e3
end

local WARM_UP_US = 1e6
local interval_us, first_us
local num_planned, num_sent = 0, 0
latencies_us = {}
local head, tail

function setup(thread)
  loaded = thread
end

function init(args)
  local file = assert(io.open(args[1], "rb"))
  wrk.method, wrk.body = "POST", file:read("*a")
  file:close()
  interval_us = 1e6 / tonumber(args[2])
  for number = 3, #args do
    local name, value = args[number]:match("^([^:]+): (.*)$")
    wrk.headers[name] = value
  end
  wrk.headers["X-Request-Id"] = "DUE"
  head, tail = wrk.format():match("^(.*)DUE(.*)$")
end

-- Called when a connection is free: it waits for the next place in the plan.
function delay()
  first_us = first_us or now_us()
  local due_us = first_us + num_planned * interval_us
  num_planned = num_planned + 1
  return math.max(0, math.floor((due_us - now_us()) / 1e3 + 0.5))
end

-- Called when a request is sent; places are taken in the order of the plan.
function request()
  first_us = first_us or now_us()  -- wrk asks for one request before it begins
  local due_us = first_us + num_sent * interval_us
  num_sent = num_sent + 1
  return head .. string.format("%.0f-%d", due_us, num_sent) .. tail
end

-- An answer begins with the request's id.
function response(status, headers, body)
  local due_us = body:match('"id":"(%d+)%-')
  if due_us and tonumber(due_us) >= first_us + WARM_UP_US then
    latencies_us[#latencies_us + 1] = now_us() - tonumber(due_us)
  end
end

function done(summary)
  local sorted = loaded:get("latencies_us")
  table.sort(sorted)
  local function percentile(share)
    return (sorted[math.max(1, math.ceil(#sorted * share))] or 0) / 1e3
  end
  local failed = summary.errors
  io.write(string.format(
    '\nRESULT {"requests": %d, "seconds": %.6f, "failed": %d, "p50_ms": %.4f, "p99_ms": %.4f, "max_ms": %.4f}\n',
    #sorted, (summary.duration - WARM_UP_US) / 1e6,
    failed.connect + failed.read + failed.write + failed.status + failed.timeout,
    percentile(0.5), percentile(0.99), percentile(1)))
end
