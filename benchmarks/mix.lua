-- 80 % recommendations, 20 % durable events.
local i = 0
local key = os.getenv("KEY")
local run = tostring(os.time())
request = function()
  i = i + 1
  local c = i % 10000
  if i % 5 == 0 then
    local body = '{"event_id":"m' .. run .. "-" .. i .. '","customer_id":"c' .. c ..
      '","event_type":"view","product_id":' .. (i * 7919 % 20000) .. '}'
    return wrk.format("POST", "/api/v1/events", {["X-API-Key"] = key, ["Content-Type"] = "application/json"}, body)
  end
  return wrk.format("GET", "/api/v1/recommendations?customer_id=c" .. c .. "&context=home&n=10", {["X-API-Key"] = key})
end
