-- 10,000 customers in turn, each with a session of its own.
local i = 0
local key = os.getenv("KEY")
request = function()
  i = (i + 1) % 10000
  return wrk.format("GET", "/api/v1/recommendations?customer_id=c" .. i .. "&context=home&n=10", {["X-API-Key"] = key})
end
