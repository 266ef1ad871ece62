"""Perl's Mail::IMAPClient and Net::POP3, Net::SMTP."""
import subprocess

from chain import Skip, has, need, run

IMAP = r'''
use strict; use warnings; use Mail::IMAPClient; use IO::Socket::SSL;
my ($host, $port, $user, $pass, $ca) = @ARGV;
my $c = Mail::IMAPClient->new(Server => $host, Port => $port, User => $user, Password => $pass, Uid => 1,
  Starttls => [SSL_ca_file => $ca, SSL_verify_mode => SSL_VERIFY_PEER, SSL_verifycn_scheme => 'imap', SSL_verifycn_name => $host]) or die "connect: $@";
sub ok { my ($what, $value) = @_; defined $value && $value or die "$what: " . ($c->LastError // '') . "\n"; return $value }
ok(namespace => $c->namespace); ok(create => $c->create('Perl')); ok(subscribe => $c->subscribe('Perl')); ok(select => $c->select('INBOX'));
my @found = $c->search('SUBJECT', 'perl reads'); @found == 1 or die "search: @found\n"; my $uid = $found[0];
my $h = ok(parse_headers => $c->parse_headers($uid, 'Subject', 'Date')); $h->{Subject}[0] eq 'perl reads' or die;
ok(body => $c->message_string($uid)) =~ /\r\n\.\.dots\r\n/ or die "text"; ok(size => $c->size($uid)); ok(date => $c->internaldate($uid));
ok(structure => $c->get_bodystructure($uid)); ok(envelope => $c->get_envelope($uid));
ok(store => $c->store($uid, '+FLAGS.SILENT', '(\\Flagged)')); ok(copy => $c->copy('Perl', $uid));
my $new = ok(append => $c->append_string('Perl', "Subject: appended\r\n\r\nbody\r\n", '\\Seen', '01-Jan-2020 10:00:00 +0000')); $new =~ /^\d+$/ or die "no APPENDUID: $new";
ok(status => $c->status('Perl', 'MESSAGES', 'UNSEEN')); if ($c->has_capability('MOVE')) { ok(move => $c->move('Perl', $uid)) }
if ($c->has_capability('SORT')) { my @s = $c->sort('(REVERSE DATE)', 'UTF-8', 'ALL'); }
if ($c->has_capability('THREAD=REFERENCES')) { $c->thread('REFERENCES', 'UTF-8', 'ALL') }
my $tag = ok(idle => $c->idle); my $changes = $c->idle_data(1); ok(done => $c->done($tag));
ok(select => $c->select('Perl')); my @m = $c->messages; @m == 3 or die "messages: @m"; ok(close => $c->close);
ok(rename => $c->rename('Perl', 'Perl 2')); ok(unsubscribe => $c->unsubscribe('Perl')); ok(delete => $c->delete('Perl 2')); ok(logout => $c->logout);
print "imap done\n";
'''
POP = r'''
use strict; use warnings; use Net::POP3; my ($host, $port, $user, $pass, $ca) = @ARGV;
my $p = Net::POP3->new($host, Port => $port, Timeout => 20) or die "connect: $@";
$p->starttls(SSL_ca_file => $ca, SSL_verifycn_name => $host) or die 'stls: ' . $p->message;
my $n = $p->login($user, $pass); defined $n or die 'login: ' . $p->message; $n > 0 or die 'empty';
my $list = $p->list; my $ids = $p->uidl; keys %$list == keys %$ids or die; my $text = join '', @{ $p->get($n) }; $text =~ /\n\.\.dots\r?\n/ or die $text;
$p->top($n, 1) or die; $p->delete($n) or die; $p->reset; $p->quit; print "pop done\n";
'''
SMTP = r'''
use strict; use warnings; use Net::SMTP; my ($host, $port, $user, $pass, $ca, $from, $to) = @ARGV;
my $s = Net::SMTP->new($host, Port => $port, Timeout => 20, Hello => 'client.example') or die $@;
$s->starttls(SSL_ca_file => $ca, SSL_verifycn_name => $host) or die 'starttls: ' . $s->message; 
$s->mail($from) or die $s->message; $s->to($to) or die $s->message; $s->data("Subject: from perl\n\n.\n..x\n") or die $s->message; $s->quit; print "smtp done\n";
'''


def perl(chain, script, port, *more):
    return chain.run(["perl", "-e", script, chain["MAIL_HOST"], chain[port + "_PORT"], chain["USER1"], chain["PASS1"], chain["CA_FILE"], *more])


def setup():
    need("perl")


def module(name):
    if subprocess.run(["perl", "-M" + name, "-e", "1"], capture_output=True).returncode:
        raise Skip(f"Perl's {name} is not installed")


def test_imap(chain):
    module("Mail::IMAPClient"), module("IO::Socket::SSL")
    chain.send("perl reads")
    has(perl(chain, IMAP, "IMAP"), "imap done")


def test_pop3(chain):
    module("Net::POP3"), module("IO::Socket::SSL")
    chain.send("perl pops")
    has(perl(chain, POP, "POP3"), "pop done")


def test_smtp(chain):
    module("Net::SMTP"), module("IO::Socket::SSL")
    has(perl(chain, SMTP, "SMTP", "a@elsewhere.example", chain.address(2)), "smtp done")
    has(chain.body(chain.delivered("from perl", 2)), ".\n..x")


run(globals())
