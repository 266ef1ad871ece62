#include "mta/serve/filter/filter_chain.h"

#include "base/log.h"
#include "base/overloaded.h"
#include "base/strings.h"

namespace mail::mta {

using Kind = milter::Verdict::Kind;

struct FilterChain::Link {
  Link(net::Loop& loop, const Filters& filters, const Filter& filter) : client(loop, filters, filter) {}
  FilterClient client;
  bool left = false;            // it accepted the whole connection
  bool left_message = false;    // it accepted this message, or has failed and is not asked again
  bool in_transaction = false;  // it was told of MAIL, and not of the end
};

FilterChain::FilterChain(net::Loop& loop, const Filters& filters) : filters_(filters) {
  for (const auto& filter : filters.list) links_.push_back(std::make_unique<Link>(loop, filters, filter));
}

FilterChain::~FilterChain() = default;

// One stage after the other, one filter after the other

void FilterChain::run(At at, Step step, Done done) { run_from(0, at, step, done); }

void FilterChain::run_from(std::size_t index, At at, const Step& step, const Done& done) {
  while (index < links_.size() && (links_[index]->left || (at == At::message && links_[index]->left_message))) ++index;
  if (index == links_.size() || changes_.discard) return done({});
  auto& link = *links_[index];
  step(link, alive_.guard([this, index, at, step, done](const Result<milter::Verdict>& verdict) {
    std::optional<smtp::Reply> refusal;
    if (heed(*links_[index], at, verdict, refusal)) return run_from(index + 1, at, step, done);
    done(std::move(refusal));
  }));
}

bool FilterChain::heed(Link& link, At at, const Result<milter::Verdict>& verdict, std::optional<smtp::Reply>& refusal) {
  if (!verdict) {
    log_event(LogLevel::warning, "filter_failed", {{"text", verdict.error().text}});
    link.in_transaction = false;
    if (at == At::message) refusal = failed(link);
    return !refusal;
  }
  switch (verdict->kind) {
    case Kind::go_on:
    case Kind::skip:
      return true;
    case Kind::accept:
      (at == At::connection ? link.left : link.left_message) = true;
      return true;
    case Kind::discard:
      changes_.discard = true;
      return true;
    case Kind::refuse:
      refusal = verdict->reply;
      return false;
  }
  return true;
}

std::optional<smtp::Reply> FilterChain::failed(Link& link) {
  link.left_message = true;
  switch (link.client.filter().failure) {
    case FilterFailure::accept:
      return {};
    case FilterFailure::quarantine:
      changes_.quarantine = concat({"mail filter ", link.client.filter().address.to_string(), " did not answer"});
      return {};
    case FilterFailure::reject:
      return smtp::Reply{550, "5.7.1 A mail filter is out of order"};
    case FilterFailure::tempfail:
      break;
  }
  return smtp::Reply{451, "4.7.1 A mail filter is out of order, try later"};
}

// The stages

void FilterChain::reopen(Link& link, bool helo, FilterClient::Done done) {
  link.client.open([this, &link, helo, done = std::move(done)](const Result<milter::Verdict>& opened) {
    if (!opened) return done(opened);
    const auto connect = [this](milter::Session& session) {
      session.connect(peer_.name, peer_.address, peer_.port, connect_macros_);
    };
    link.client.ask(connect, filters_.command_timeout,
                    [this, &link, helo, done](const Result<milter::Verdict>& answer) {
                      if (!helo || helo_.empty() || !answer || answer->kind != Kind::go_on) return done(answer);
                      link.client.ask([this](milter::Session& session) { session.helo(helo_, helo_macros_); },
                                      filters_.command_timeout, done);
                    });
  });
}

void FilterChain::connected(Peer peer, milter::Macros macros, Done done) {
  peer_ = std::move(peer);
  connect_macros_ = std::move(macros);
  run(
      At::connection, [this](Link& link, FilterClient::Done step_done) { reopen(link, false, std::move(step_done)); },
      std::move(done));
}

void FilterChain::hello(std::string name, milter::Macros macros, Done done) {
  helo_ = std::move(name);
  helo_macros_ = std::move(macros);
  run(
      At::connection,
      [this](Link& link, FilterClient::Done step_done) {
        if (!link.client.is_open()) return step_done(milter::Verdict{});  // tried again at MAIL
        link.client.ask([this](milter::Session& session) { session.helo(helo_, helo_macros_); },
                        filters_.command_timeout, std::move(step_done));
      },
      std::move(done));
}

void FilterChain::sender(std::string path, Parameters parameters, milter::Macros macros, Done done) {
  reset();
  const auto mail = [path = std::move(path), parameters = std::move(parameters),
                     macros = std::move(macros)](milter::Session& session) { session.mail(path, parameters, macros); };
  run(
      At::message,
      [this, mail](Link& link, FilterClient::Done step_done) {
        link.in_transaction = true;
        if (link.client.is_open()) return link.client.ask(mail, filters_.command_timeout, std::move(step_done));
        reopen(link, true, [this, &link, mail, step_done](const Result<milter::Verdict>& opened) {
          if (opened && opened->kind == Kind::accept) link.left = true;
          if (!opened || opened->kind != Kind::go_on) return step_done(opened);
          link.client.ask(mail, filters_.command_timeout, step_done);
        });
      },
      std::move(done));
}

void FilterChain::recipient(std::string path, Parameters parameters, milter::Macros macros, Done done) {
  const auto rcpt = [path = std::move(path), parameters = std::move(parameters), macros = std::move(macros)](
                        milter::Session& session) { session.recipient(path, parameters, macros); };
  run(
      At::message,
      [this, rcpt](Link& link, FilterClient::Done step_done) {
        link.client.ask(rcpt, filters_.command_timeout, std::move(step_done));
      },
      std::move(done));
}

void FilterChain::data(milter::Macros macros, Done done) {
  run(
      At::message,
      [this, macros = std::move(macros)](Link& link, FilterClient::Done step_done) {
        link.client.ask([macros](milter::Session& session) { session.data(macros); }, filters_.command_timeout,
                        std::move(step_done));
      },
      std::move(done));
}

void FilterChain::message(FilteredMessage& message, milter::Macros macros, Done done) {
  run(
      At::message,
      [this, &message, macros = std::move(macros)](Link& link, const FilterClient::Done& step_done) {
        feed(link, message, macros, [this, &link, &message, step_done](const Result<milter::Verdict>& verdict) {
          link.in_transaction = link.in_transaction && verdict && verdict->kind != Kind::go_on;
          if (verdict && (verdict->kind == Kind::go_on || verdict->kind == Kind::accept))
            apply(message, link.client.take_changes());
          step_done(verdict);
        });
      },
      std::move(done));
}

void FilterChain::feed(Link& link, FilteredMessage& message, const milter::Macros& macros, FilterClient::Done done) {
  struct Place {
    std::size_t field = 0;
    std::uint64_t body = 0;
    bool header_ended = false;
  };
  link.client.feed(
      [&message, macros, place = Place()](milter::Session& session, Kind before) mutable {
        const auto& fields = message.header.fields();
        while (place.field < fields.size() && fields[place.field].name.empty()) ++place.field;
        if (place.field < fields.size()) {
          const auto& field = fields[place.field++];
          session.header(field.name, field.value());
          return false;
        }
        if (!std::exchange(place.header_ended, true)) {
          session.end_of_header(macros);
          return false;
        }
        if (session.wants_body() && before != Kind::skip && place.body < message.body.octets()) {
          const auto piece = message.body.read(place.body, milter::kChunkOctets);
          place.body += piece.size();
          if (!piece.empty()) {
            session.body(piece);
            return false;
          }
        }
        session.end_of_message(macros);
        return true;
      },
      std::move(done));
}

void FilterChain::apply(FilteredMessage& message, const std::vector<milter::Change>& changes) {
  std::optional<std::string> body;
  for (const auto& change : changes) {
    std::visit(overloaded{[&](const milter::AddHeader& e) { message.header.add(e); },
                          [&](const milter::InsertHeader& e) { message.header.insert(e); },
                          [&](const milter::ChangeHeader& e) { message.header.change(e); },
                          [&](const milter::ReplaceBody& e) {
                            if (!body) body.emplace();
                            *body += e.octets;
                          },
                          [&](const milter::Quarantine& e) { changes_.quarantine = e.reason; },
                          [&](const auto& e) { changes_.list.emplace_back(e); }},
               change);
  }
  if (body) message.body.replace(std::move(*body));
  message.changed = message.changed || !changes.empty();
}

void FilterChain::reset() {
  for (const auto& link : links_) {
    if (std::exchange(link->in_transaction, false)) link->client.abort_message();
    link->left_message = false;
  }
  changes_ = {};
}

}  // namespace mail::mta
