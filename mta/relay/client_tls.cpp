#include "mta/relay/client_tls.h"

#include <utility>

#include "base/log.h"

namespace mail::relay {

ClientTls client_tls(const config::Tls& settings) {
  struct State {
    bool tried = false;
    std::shared_ptr<const net::TlsContext> context;
  };
  return [&settings, state = std::make_shared<State>()] {
    if (std::exchange(state->tried, true)) return state->context;
    if (auto made = net::TlsContext::client(settings))
      state->context = std::move(*made);
    else
      log_event(LogLevel::warning, "tls-off", {{"reason", made.error().text}});
    return state->context;
  };
}

}  // namespace mail::relay
