#include "net/proxy_header.h"

#include <catch2/catch.hpp>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "tests/support/fixtures.h"

using namespace mail;
using namespace mail::net;

TEST_CASE("PROXY headers of the specification, whole and cut at every octet") {
  const auto folder = test::vectors("proxy");
  if (folder.empty()) return;
  const auto cases = nlohmann::json::parse(test::read_path(folder / "proxy-headers.json"));
  REQUIRE(cases.size() > 20);
  for (const auto& one : cases) {
    const std::string name = one["name"];
    INFO(name);
    const auto octets = *from_hex(one["hex"].get<std::string>());
    const auto whole = parse_proxy_header(octets);
    if (one.value("error", false)) {
      // Too long a length field, or a header cut short by its sender, may also show as never complete.
      CHECK((!whole || !*whole));
      continue;
    }
    REQUIRE(whole);
    REQUIRE(*whole);
    const auto& header = **whole;
    const auto rest = one.contains("rest_hex") ? *from_hex(one["rest_hex"].get<std::string>()) : "";
    CHECK(octets.substr(header.octets) == rest);
    for (std::size_t cut = 0; cut < header.octets; ++cut) {
      const auto part = parse_proxy_header(std::string_view(octets).substr(0, cut));
      REQUIRE(part);
      CHECK_FALSE(*part);
    }
    const auto& expect = one["expect"];
    if (!expect.contains("src")) {
      CHECK_FALSE(header.source);
      continue;
    }
    REQUIRE(header.source);
    CHECK(header.source->ip == *IpAddress::parse(expect["src"].get<std::string>()));
    CHECK(header.source->port == expect["src_port"].get<int>());
    CHECK(header.destination->ip == *IpAddress::parse(expect["dst"].get<std::string>()));
    CHECK(header.destination->port == expect["dst_port"].get<int>());
  }
}
