-- One load for every bench; BENCH_* in the environment say what is sent.  Counts messages, not only requests.
local mode = os.getenv("BENCH_MODE")
local path = os.getenv("BENCH_PATH")
local limit = tonumber(os.getenv("BENCH_LIMIT") or "1")
local queues = tonumber(os.getenv("BENCH_QUEUES") or "0")
local prefix = os.getenv("BENCH_PREFIX") or ""
local json = { ["Content-Type"] = "application/json" }
local form = { ["Content-Type"] = "application/x-www-form-urlencoded" }
local text = { ["Content-Type"] = "text/plain" }
local body = string.rep("x", 100)
local threads = {}
local LAG = 600 -- requests; a creation may be overtaken by many others
local first_number = tonumber(os.getenv("BENCH_FIRST") or "") -- names of queues are scattered, beginning with this one

function setup(thread)
  thread:set("number", #threads)
  table.insert(threads, thread)
end

function init(args)
  for _, headers in ipairs({ json, form, text }) do
    headers["Authorization"] = os.getenv("BENCH_AUTHORIZATION")
  end
  math.randomseed(os.time() + number * 7919)
  receipts, first, last, sent, messages, refused = {}, 1, 0, 0, 0, 0
  local items = {}
  for _ = 1, limit do table.insert(items, '{"body":"' .. body .. '"}') end
  batch = '{"messages":[' .. table.concat(items, ",") .. "]}"
end

local function scattered(n) -- the name of number n: neighbours in number are none in a tree of names
  return prefix .. string.format("%08x", (n * 2654435761) % 4294967296)
end

local function created(n)
  return first_number and scattered(first_number + n) or prefix .. number .. "-" .. n
end

local function acks()
  local taken = {}
  while first <= last and #taken < limit do
    table.insert(taken, '"' .. receipts[first] .. '"')
    receipts[first] = nil
    first = first + 1
  end
  return table.concat(taken, ",")
end

function request()
  sent = sent + 1
  if mode == "single" then
    return wrk.format("POST", path, text, body)
  elseif mode == "random" then
    return wrk.format("POST", path .. "/" .. scattered(math.random(0, queues - 1)), text, body)
  elseif mode == "batch" then
    return wrk.format("POST", path, json, batch)
  elseif mode == "read" then
    return wrk.format("GET", path .. "?limit=" .. limit .. "&since=" .. os.getenv("BENCH_SINCE"), text)
  elseif mode == "claim" then
    return wrk.format("POST", path .. "/claims", json, '{"limit":' .. limit .. ',"ack":[' .. acks() .. "]}")
  elseif sent % 2 == 1 or sent <= LAG + 2 then -- create, and behind it the first message of one made a while ago
    return wrk.format("POST", path, form, "queue_name=" .. created(sent))
  end
  return wrk.format("POST", path .. "/" .. created(sent - LAG + 1), text, body)
end

function response(status, headers, answer)
  if status >= 300 then
    refused = refused + 1
    if refused == 1 then io.stderr:write(status, " ", answer, "\n") end
  elseif mode == "claim" then
    for receipt in answer:gmatch('"deliveries":%d+,"receipt":"([^"]+)"') do
      last = last + 1
      receipts[last] = receipt
      messages = messages + 1
    end
  elseif mode == "read" then
    local _, found = answer:gsub('"message_id"', "")
    messages = messages + found
  elseif mode == "batch" then
    messages = messages + limit
  else
    messages = messages + 1
  end
end

if mode == "bare" then -- nothing but wrk's own request: what the client can do
  request, response = nil, nil
end

function done(summary, latency)
  local all, bad = 0, 0
  for _, thread in ipairs(threads) do
    all = all + (thread:get("messages") or 0)
    bad = bad + (thread:get("refused") or 0)
  end
  local errors = summary.errors
  io.write(string.format('\n{"requests":%d,"seconds":%.6f,"messages":%d,"refused":%d,"failed":%d,"p50_ms":%.3f,"p99_ms":%.3f}\n',
    summary.requests, summary.duration / 1e6, all, bad, errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
