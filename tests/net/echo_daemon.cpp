// echo_daemon CONFIG [--inetd]: the smallest program on net::Service, for service_test and for measuring what a
// connection costs. Listens on smtp.listen, and with TLS on smtp.submissions; greets with the peer's address and
// echoes.
#include <cstring>

#include "base/alive.h"
#include "net/service.h"

using namespace mail;

namespace {

class Echo final : public net::Session {
 public:
  Echo(std::unique_ptr<net::Connection> c, net::Service& service) : Session(std::move(c)), service_(service) {}
  void on_ready() override { connection().write("220 " + connection().peer().ip.to_string() + "\r\n"); }
  void on_octets(std::string_view octets) override {
    if (octets == "WORK\r\n") {
      connection().pause_reading();
      return service_.workers().submit(
          loop(), [] { return std::string("worked\r\n"); }, alive_.guard([this](const std::string& text) {
            connection().write(text);
            connection().resume_reading();
          }));
    }
    connection().write(octets);
    if (octets == "QUIT\r\n") connection().close_when_written();
  }
  void on_shutdown() override {
    connection().write("421 bye\r\n");
    connection().close_when_written();
  }

 private:
  net::Service& service_;
  Alive alive_;
};

}  // namespace

int main(int argc, char** argv) {
  const auto settings = config::load_or_complain("echo", {argv[1]});
  if (!settings) return net::kExitConfig;
  std::vector<net::Listen> listeners;
  for (const auto& endpoint : settings->smtp.listen) listeners.push_back({endpoint, "echo", false, 0});
  for (const auto& endpoint : settings->smtp.submissions) listeners.push_back({endpoint, "echos", true, 1});
  const bool inetd = argc > 2 && std::strcmp(argv[2], "--inetd") == 0;
  auto service = net::Service::open({.program = "echo", .settings = *settings, .listeners = listeners, .inetd = inetd});
  if (!service) return service.error();
  return (*service)->run(
      [&](auto connection, const net::Listen&) { return std::make_unique<Echo>(std::move(connection), **service); });
}
