#include "milter/header_list.h"

#include <catch2/catch.hpp>

using namespace mail::milter;

namespace {

constexpr std::string_view kReceived = "Received: us\r\n";
constexpr std::string_view kHeader = "Received: them\r\nSubject: one\r\n two\r\nTo: a\r\nTO: b\r\n\r\n";

std::string text(const HeaderList& list) { return list.text(kReceived, false); }

}  // namespace

TEST_CASE("a header that nobody changes stays as it is, behind our Received") {
  for (const std::string& header : {std::string(kHeader), std::string("\r\n"), std::string("Subject: x\r\n"),
                                    std::string("From nobody\r\nOdd : x\r\n\r\n"), std::string()})
    CHECK(text(HeaderList(header)) == std::string(kReceived) + header);
  CHECK(HeaderList("Subject: x\r\n").text(kReceived, true) == "Received: us\r\nSubject: x\r\n\r\n");
  CHECK(text(HeaderList("Subject: x")) == "Received: us\r\nSubject: x\r\n");
}

TEST_CASE("fields are added, inserted, changed and deleted where libmilter says") {
  HeaderList list(kHeader);
  list.add({"X-Last", "l"});
  list.insert({0, "X-First", "f"});
  list.insert({2, "X-Behind-Received", "b"});
  list.insert({1000, "X-End", " e", true});
  list.change({2, "to", "c"});
  list.change({1, "Subject", ""});
  list.change({1, "X-New", "n"});
  list.change({7, "To", ""});
  CHECK(text(list) ==
        "X-First: f\r\nReceived: us\r\nX-Behind-Received: b\r\nReceived: them\r\nTo: a\r\nto: c\r\nX-Last: l\r\n"
        "X-End: e\r\nX-New: n\r\n\r\n");
  list.change({1, "Received", "changed"});  // ours is not among those that filters count
  CHECK(text(list).find("Received: us\r\n") != std::string::npos);
  CHECK(text(list).find("Received: changed\r\n") != std::string::npos);
}

TEST_CASE("what we put in front comes behind our Received, and filters see it") {
  HeaderList list("\r\n");
  list.prepend("Date: today\r\nMessage-ID: <1@x>\r\n");
  CHECK(text(list) == "Received: us\r\nDate: today\r\nMessage-ID: <1@x>\r\n\r\n");
  CHECK(list.fields().at(1).name == "Date");
  CHECK(list.fields().at(1).value() == " today");
}
