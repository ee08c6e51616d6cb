-- One view a request, every event new, 10,000 customers in turn.
local i = 0
local key = os.getenv("KEY")
local run = tostring(os.time())
request = function()
  i = i + 1
  local body = '{"event_id":"' .. run .. "-" .. i .. '","customer_id":"c' .. (i % 10000) ..
    '","event_type":"view","product_id":' .. (i * 7919 % 20000) .. '}'
  return wrk.format("POST", "/api/v1/events", {["X-API-Key"] = key, ["Content-Type"] = "application/json"}, body)
end
