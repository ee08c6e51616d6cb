-- Customers in turn, each with a session of its own; every POST_EVERY-th request posts a view, durable before its 202.
local i = 0
local key, run, ask = os.getenv("KEY"), os.getenv("RUN"), os.getenv("ASK")
local customers, post_every = tonumber(os.getenv("CUSTOMERS")), tonumber(os.getenv("POST_EVERY"))
local products = {}
for product in os.getenv("PRODUCTS"):gmatch("[^\n]+") do products[#products + 1] = product end

request = function()
  i = i + 1
  local customer = "c" .. ((i + math.floor(i / 5)) % customers)  -- so that those who post are asked for, too
  if post_every > 0 and i % post_every == 0 then
    local body = '{"event_id":"' .. run .. "-" .. i .. '","customer_id":"' .. customer ..
      '","event_type":"view","product_id":' .. products[i * 7919 % #products + 1] .. '}'
    return wrk.format("POST", "/api/v1/events", {["X-API-Key"] = key, ["Content-Type"] = "application/json"}, body)
  end
  return wrk.format("GET", ask:format(customer), {["X-API-Key"] = key})
end

done = function(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format("measured %d %d %d %d %d %d\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), latency.max, failed))
end
