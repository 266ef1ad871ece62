// A filter that answers anything: each command has one answer or the end, changes come at the end of the message only,
// what goes into the header stays a header, and what is sent is whole packets.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "base/overloaded.h"
#include "milter/header_list.h"
#include "milter/session.h"

namespace {

using namespace mail::milter;

struct Driver {
  Session session;
  HeaderList headers{"Subject: x\r\nTo: y\r\n\r\n"};
  std::string sent;
  int stage = 0;
  bool ended = false;

  void go_on() {
    const Macros macros{{"i", "1"}, {"j", "mx"}};
    switch (stage++) {
      case 0:
        return session.connect("mx", mail::IpAddress::parse("192.0.2.1"), 25, macros);
      case 1:
        return session.helo("mx", macros);
      case 2:
        return session.mail("<a@b>", {"SIZE=1"}, macros);
      case 3:
        return session.recipient("<c@d>", {}, macros);
      case 4:
        return session.data(macros);
      case 5:
        return session.header("Subject", " a\r\n b");
      case 6:
        return session.end_of_header(macros);
      case 7:
        return session.body("x\r\n");
      case 8:
        return session.end_of_message(macros);
      default:
        return;
    }
  }
  void pump() {
    while (auto event = session.next()) {
      std::visit(mail::overloaded{[&](const SendOctets& e) { sent += e.octets; }, [&](const Answered&) { go_on(); },
                                  [&](const Changed& e) {
                                    if (stage != 9) std::abort();
                                    apply(e.change);
                                  },
                                  [](const Progress&) {},
                                  [&](const Broken&) {
                                    if (std::exchange(ended, true)) std::abort();
                                  }},
                 *event);
    }
  }
  void apply(const Change& change) {
    std::visit(
        mail::overloaded{[&](const AddHeader& e) { headers.add(e); }, [&](const InsertHeader& e) { headers.insert(e); },
                         [&](const ChangeHeader& e) { headers.change(e); }, [](const auto&) {}},
        change);
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Driver driver;
  driver.session.start();
  driver.pump();
  const std::string_view octets(reinterpret_cast<const char*>(data), size);
  for (const char c : octets) {
    driver.session.receive({&c, 1});
    driver.pump();
  }
  PacketReader reader;
  reader.receive(driver.sent);
  std::size_t whole = 0;
  for (auto packet = reader.next(); packet && *packet; packet = reader.next()) whole += 5 + (*packet)->data.size();
  if (whole != driver.sent.size()) std::abort();
  const auto text = driver.headers.text("Received: z\r\n", false);
  const auto end = text.find("\r\n\r\n");
  if (end == std::string::npos || end + 4 != text.size()) std::abort();
  for (std::size_t i = 0; i < text.size(); ++i)
    if ((text[i] == '\n') != (i != 0 && text[i - 1] == '\r') || text[i] == '\0') std::abort();
  return 0;
}
