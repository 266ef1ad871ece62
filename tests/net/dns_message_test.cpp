#include "net/dns_message.h"

#include <catch2/catch.hpp>

#include "base/strings.h"

using namespace mail;
using namespace mail::net;
using namespace std::string_literals;

namespace {

std::string u16(unsigned value) { return {static_cast<char>(value >> 8U), static_cast<char>(value & 0xffU)}; }
std::string name(std::string_view text) {
  std::string out;
  for (const auto label : split(text, '.')) out.append(1, static_cast<char>(label.size())).append(label);
  return out + '\0';
}
std::string record(std::string_view owner, unsigned type, const std::string& data, unsigned ttl = 300) {
  return name(owner) + u16(type) + u16(1) + u16(ttl >> 16U) + u16(ttl & 0xffffU) +
         u16(static_cast<unsigned>(data.size())) + data;
}
std::string message(unsigned flags, const std::vector<std::string>& records) {
  auto out = u16(7) + u16(0x8180U | flags) + u16(1) + u16(static_cast<unsigned>(records.size())) + u16(0) + u16(0) +
             name("example.test") + u16(1) + u16(1);
  for (const auto& one : records) out += one;
  return out;
}
DnsResult parse(const std::string& octets, DnsType type, DnsLimits limits = {}) {
  return parse_dns_answer(octets, type, "example.test", limits);
}

}  // namespace

TEST_CASE("records of each type") {
  const auto mx = parse(message(0x20, {record("example.test", 15, u16(20) + name("B.example.test")),
                                       record("EXAMPLE.test", 15, u16(10) + "\0"s, 60)}),
                        DnsType::mx);
  REQUIRE(mx);
  CHECK(mx->mx == std::vector<MxRecord>{{10, ""}, {20, "b.example.test"}});
  CHECK(mx->authentic);
  CHECK(mx->ttl == std::chrono::seconds(60));
  const auto txt = parse(message(0, {record("example.test", 16,
                                            "\5v=spf\2"
                                            "1 ")}),
                         DnsType::txt);
  REQUIRE(txt);
  CHECK(txt->texts == std::vector<std::string>{"v=spf1 "});
  CHECK_FALSE(txt->authentic);
  CHECK(parse(message(0, {record("example.test", 1, "\x7f\0\0\1"s)}), DnsType::a)->addresses[0].to_string() ==
        "127.0.0.1");
  CHECK(parse(message(0, {record("example.test", 28, std::string(15, '\0') + "\1")}), DnsType::aaaa)
            ->addresses[0]
            .to_string() == "::1");
  CHECK(parse(message(0, {record("example.test", 12, name("Host.Example"))}), DnsType::ptr)->texts[0] ==
        "host.example");
  const auto tlsa = parse(message(0, {record("example.test", 52, "\3\1\1abc")}), DnsType::tlsa);
  REQUIRE(tlsa);
  CHECK(tlsa->tlsa[0].usage == 3);
  CHECK(tlsa->tlsa[0].data == "abc");
}

TEST_CASE("what is not there: NXDOMAIN, no record, failure") {
  const auto none = parse(message(3, {}), DnsType::a);
  REQUIRE_FALSE(none);
  CHECK(nxdomain(none.error()));
  const auto empty = parse(message(0, {}), DnsType::a);
  CHECK(empty.error().kind == Error::Kind::not_found);
  CHECK_FALSE(nxdomain(empty.error()));
  CHECK(parse(message(2, {}), DnsType::a).error().kind == Error::Kind::temporary);
  CHECK(parse(message(5, {}), DnsType::a).error().kind == Error::Kind::temporary);
}

TEST_CASE("CNAME chains are followed to a limit, loops end, strangers' records are not believed") {
  const auto cname = [](std::string_view from, std::string_view to) { return record(from, 5, name(to)); };
  const auto chain =
      parse(message(0, {cname("example.test", "a.test"), cname("a.test", "b.test"), record("b.test", 1, "\1\2\3\4")}),
            DnsType::a);
  REQUIRE(chain);
  CHECK(chain->canonical_name == "b.test");
  const auto loop = parse(message(0, {cname("example.test", "a.test"), cname("a.test", "example.test")}), DnsType::a);
  CHECK(loop.error().kind == Error::Kind::permanent);
  CHECK(parse(message(0, {cname("example.test", "a.test"), cname("a.test", "b.test"), record("b.test", 1, "\1\2\3\4")}),
              DnsType::a, {10, 1})
            .error()
            .kind == Error::Kind::permanent);
  CHECK_FALSE(parse(message(0, {record("bank.test", 1, "\1\2\3\4")}), DnsType::a));
}

TEST_CASE("a thousand records and more: the limit holds") {
  std::vector<std::string> records;
  for (unsigned i = 0; i < 1500; ++i) records.push_back(record("example.test", 1, "\1\2"s + u16(i)));
  CHECK(parse(message(0, records), DnsType::a)->addresses.size() == 1000);
}

TEST_CASE("no octets are trusted: every cut is an error, never a crash") {
  const auto whole = message(0, {record("example.test", 15, u16(20) + name("b.example.test"))});
  for (std::size_t cut = 0; cut < whole.size(); ++cut) {
    const auto result = parse(whole.substr(0, cut), DnsType::mx);
    REQUIRE_FALSE(result);
    CHECK(result.error().kind == Error::Kind::temporary);
  }
  auto self_pointer = u16(7) + u16(0x8180) + u16(1) + u16(0) + u16(0) + u16(0) + "\xc0\x0c" + u16(1) + u16(1);
  CHECK_FALSE(parse(self_pointer, DnsType::a));
}

TEST_CASE("names that can be asked for") {
  CHECK(normal_name("Example.Test.") == "example.test");
  for (const auto* text : {"", ".", "a..b", ".a", "a b", "a\\b"}) CHECK_FALSE(normal_name(text));
  CHECK_FALSE(normal_name(std::string(64, 'a') + ".test"));
  CHECK_FALSE(normal_name(std::string(254, 'a')));
}

TEST_CASE("a record whose data is not what its type has is an error that may pass, never a null MX") {
  for (const auto& [type, data] : std::vector<std::pair<DnsType, std::string>>{{DnsType::a, "\1\2\3"},
                                                                               {DnsType::aaaa, "\1\2\3\4"},
                                                                               {DnsType::mx, u16(10)},
                                                                               {DnsType::mx, u16(10) + "\xc0\xff"},
                                                                               {DnsType::ptr, "\x05x"},
                                                                               {DnsType::tlsa, "\3\1"}}) {
    const auto answer = parse(message(0, {record("example.test", static_cast<unsigned>(type), data)}), type);
    REQUIRE_FALSE(answer);
    CHECK(answer.error().kind == Error::Kind::temporary);
  }
}
