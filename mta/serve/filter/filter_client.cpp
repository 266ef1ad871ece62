#include "mta/serve/filter/filter_client.h"

#include "base/overloaded.h"
#include "base/strings.h"

namespace mail::mta {

FilterClient::FilterClient(net::Loop& loop, const Filters& filters, const Filter& filter)
    : loop_(loop), filters_(filters), filter_(filter) {}

FilterClient::~FilterClient() {
  if (!connection_ || !session_ || session_->waiting()) return;
  session_->quit();
  while (auto event = session_->next())
    if (const auto* send = std::get_if<milter::SendOctets>(&*event)) connection_->write(send->octets);
  connection_->flush();
}

void FilterClient::open(Done done) {
  done_ = std::move(done);
  connection_.reset();
  session_ = std::make_unique<milter::Session>();
  changes_.clear();
  limit_ = filters_.command_timeout;
  connector_ = std::make_unique<net::Connector>(loop_, filter_.address, filters_.connect_timeout, [this](auto made) {
    if (!made) return fail_with(made.error().text);
    connection_ = std::move(*made);
    connection_->set_handler(this);
    restart_timer();
    session_->start();
    pump();
  });
}

void FilterClient::ask(const Command& command, std::chrono::milliseconds limit, Done done) {
  done_ = std::move(done);
  if (!connection_) return fail_with("the connection is closed");
  limit_ = limit;
  restart_timer();
  command(*session_);
  pump();
}

void FilterClient::feed(Feed next, Done done) {
  done_ = std::move(done);
  if (!connection_) return fail_with("the connection is closed");
  feed_ = std::move(next);
  last_fed_ = false;
  body_octets_ = 0;
  feed_on(milter::Verdict::Kind::go_on);
  pump();
}

void FilterClient::feed_on(milter::Verdict::Kind before) {
  if (connection_->above_high_water()) {  // a filter that does not answer to pieces: as fast as it reads
    held_up_ = before;
    return connection_->want_drained();
  }
  last_fed_ = feed_(*session_, before);
  limit_ = last_fed_ ? filters_.message_timeout : filters_.command_timeout;
  restart_timer();
}

void FilterClient::on_drained() {
  const auto before = std::exchange(held_up_, std::nullopt);
  if (!before) return;
  feed_on(*before);
  pump();
}

std::vector<milter::Change> FilterClient::take_changes() { return std::exchange(changes_, {}); }

void FilterClient::abort_message() {
  if (!connection_ || !session_) return;
  session_->abort();
  pump();
}

void FilterClient::restart_timer() {
  connection_->set_timeout(limit_, [this] { fail_with("no answer in time"); });
}

void FilterClient::on_octets(std::string_view octets) {
  session_->receive(octets);
  pump();
}

void FilterClient::on_closed(net::CloseReason reason) {
  fail_with(concat({"the connection is closed: ", net::to_string(reason)}));
}

void FilterClient::pump() {
  if (pumping_) return;
  pumping_ = true;
  while (connection_) {
    auto event = session_->next();
    if (!event) break;
    std::visit(overloaded{[&](const milter::SendOctets& e) { connection_->write(e.octets); },
                          [&](const milter::Answered& e) { answered(e.verdict); },
                          [&](milter::Changed& e) {
                            if (const auto* body = std::get_if<milter::ReplaceBody>(&e.change)) {
                              body_octets_ += body->octets.size();
                              if (body_octets_ > filters_.most_body_octets)
                                return fail_with("the body it puts in is larger than smtp.message_octets");
                            }
                            changes_.push_back(std::move(e.change));
                          },
                          [&](const milter::Progress&) { restart_timer(); },
                          [&](const milter::Broken& e) { fail_with(e.why); }},
               *event);
  }
  pumping_ = false;
}

void FilterClient::answered(const milter::Verdict& verdict) {
  using Kind = milter::Verdict::Kind;
  if (feed_ && !last_fed_ && (verdict.kind == Kind::go_on || verdict.kind == Kind::skip)) return feed_on(verdict.kind);
  feed_ = nullptr;
  connection_->clear_timeout();
  finish(verdict);
}

void FilterClient::finish(Result<milter::Verdict> result) {
  if (!done_) return;
  loop_.defer(alive_.guard(
      [done = std::exchange(done_, nullptr), result = std::move(result)]() mutable { done(std::move(result)); }));
}

void FilterClient::fail_with(std::string why) {
  // Connection and session may be the callers: they go when the loop is done with them.
  loop_.defer([dead = std::shared_ptr<net::Connection>(std::move(connection_)),
               session = std::shared_ptr<milter::Session>(std::move(session_))] {});
  feed_ = nullptr;
  held_up_.reset();
  changes_.clear();
  finish(fail(Error::Kind::temporary, concat({"mail filter ", filter_.address.to_string(), ": ", why})));
}

}  // namespace mail::mta
