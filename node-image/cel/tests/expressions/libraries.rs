//! The libraries of Kubernetes, function by function.

use super::{fail, hold};

#[test]
fn strings() {
    hold(&[
        "'hello'.contains('ell') && 'hello'.startsWith('he') && 'hello'.endsWith('lo')",
        "'tacocat'.charAt(3) == 'o' && 'a'.charAt(1) == ''",
        "'hello mellow'.indexOf('ello') == 1 && 'hello mellow'.indexOf('ello', 2) == 7",
        "'hello'.indexOf('z') == -1 && 'hello'.indexOf('') == 0",
        "'hello mellow'.lastIndexOf('ello') == 7 && 'hello mellow'.lastIndexOf('ello', 6) == 1",
        "'TacoCat'.lowerAscii() == 'tacocat' && 'a'.upperAscii() == 'A' && 'É'.lowerAscii() == 'É'",
        "'hello hello'.replace('he', 'we') == 'wello wello'",
        "'hello hello'.replace('he', 'we', 1) == 'wello hello'",
        "'hello'.replace('', '_') == '_h_e_l_l_o_'",
        "'a b c'.split(' ') == ['a', 'b', 'c'] && 'a b c'.split(' ', 2) == ['a', 'b c']",
        "'abc'.split('') == ['a', 'b', 'c'] && 'a b'.split(' ', 0) == []",
        "'tacocat'.substring(4) == 'cat' && 'tacocat'.substring(0, 4) == 'taco'",
        "'  x '.trim() == 'x' && ['a', 'b'].join() == 'ab' && ['a', 'b'].join('-') == 'a-b'",
        "strings.quote('a\"b') == '\"a\\\\\"b\"'",
    ]);
    fail(&[
        ("'abc'.charAt(4) == ''", "index out of range: 4"),
        ("'abc'.substring(-1) == ''", "index out of range: -1"),
        ("'abc'.substring(2, 1) == ''", "invalid substring range. start: 2, end: 1"),
        ("'abc'.reverse() == 'cba'", "found no matching overload"),
    ]);
}

#[test]
fn format() {
    hold(&[
        "'%s is %d'.format([dyn('x'), 5]) == 'x is 5' && '100%%'.format([]) == '100%'",
        "'%s'.format([[dyn(1), 'a', 1.5]]) == '[1, \"a\", 1.500000]'",
        "'%s'.format([{'b': dyn(1), 'a': null}]) == '{\"a\":null, \"b\":1}'",
        "'%x %X %o %b'.format([255, 255, 8, 5]) == 'ff FF 10 101'",
        "'%x'.format(['hi']) == '6869' && '%b'.format([true]) == '1' && '%x'.format([-26]) == '-1a'",
        "'%f'.format([10000.1234]) == '10,000.123400' && '%.2f'.format([2.345]) == '2.35'",
        "'%.3e'.format([1052.032911275]) == '1.052\\u202f×\\u202f10⁰³'",
        "'%s'.format([duration('1h')]) == '3600s' && '%s'.format([int]) == 'int'",
    ]);
    fail(&[
        ("'%s'.format([]) == ''", "index 0 out of range"),
        (
            "'%d'.format(['x']) == ''",
            "error during formatting: decimal clause can only be used on integers, was given string",
        ),
        (
            "'%z'.format([1]) == ''",
            "could not parse formatting clause: unrecognized formatting clause \"z\"",
        ),
        ("'%'.format([1]) == ''", "unexpected end of string"),
        ("'%.9999f'.format([1.0]) == ''", "could not parse formatting clause"),
    ]);
}

#[test]
fn lists() {
    hold(&[
        "[1, 2, 2].isSorted() && !['b', 'a'].isSorted() && [].isSorted()",
        "[1, 2].sum() == 3 && [1.0, 0.5].sum() == 1.5 && [duration('1s')].sum() == duration('1s')",
        "[3, 1, 2].min() == 1 && ['a', 'b'].max() == 'b'",
        "[1, 2, 1].indexOf(1) == 0 && [1, 2, 1].lastIndexOf(1) == 2 && [1].indexOf(5) == -1",
        "[1, 2, 3, 4].slice(1, 3) == [2, 3] && [[1], [2]].flatten() == [1, 2]",
        "[dyn(1), [dyn(2), [3]]].flatten(2) == [1, 2, 3]",
        "[3, 1, 2].sort() == [1, 2, 3] && [1, 2, 2, 1].distinct() == [1, 2]",
        "lists.range(3) == [0, 1, 2] && [1, 2].reverse() == [2, 1]",
        "[{'n': 2}, {'n': 1}].sortBy(e, e.n) == [{'n': 1}, {'n': 2}]",
    ]);
    fail(&[
        ("[].min() == 1", "min called on empty list"),
        ("[dyn(1), dyn('a')].sum() == 1", "no such overload"),
        ("[1, 2].slice(1, 5) == []", "cannot slice(1, 5), list is length 2"),
        ("[1, 2].slice(-1, 1) == []", "negative indexes not supported"),
        ("['a'].sum() == 'a'", "found no matching overload for 'sum' applied to 'list(string).()'"),
    ]);
}

#[test]
fn patterns() {
    hold(&[
        "'abc123'.matches('[0-9]+') && matches('abc', '^a') && !'abc'.matches('^b')",
        "'abc 123'.find('[0-9]+') == '123' && 'abc'.find('[0-9]+') == ''",
        "'1 2 3'.findAll('[0-9]') == ['1', '2', '3'] && '1 2 3'.findAll('[0-9]', 2) == ['1', '2']",
    ]);
    fail(&[("'a'.matches(d.s + '(')", "error parsing regexp")]);
}

#[test]
fn urls() {
    hold(&[
        "isURL('https://example.com:80/') && isURL('/a/b') && !isURL('example.com') && !isURL('../a')",
        "url('https://a.com:80/p?k=v&k=w').getScheme() == 'https'",
        "url('https://a.com:80/').getHost() == 'a.com:80' && url('https://a.com:80/').getPort() == '80'",
        "url('https://a.com:80/').getHostname() == 'a.com' && url('https://[::1]:80/').getHostname() == '::1'",
        "url('https://a.com/with space/').getEscapedPath() == '/with%20space/'",
        "url('https://a.com/p?k=v&k=w+x').getQuery() == {'k': ['v', 'w x']}",
        "url('/path').getHost() == '' && url('https://a.com').getPort() == ''",
        "url('https://user:pw@a.com/x#frag').getHost() == 'a.com'",
    ]);
    fail(&[
        (
            "url('a.com').getHost() == ''",
            "URL parse error during conversion from string: parse \"a.com\": invalid URI for request",
        ),
        ("url('https://a b/').getHost() == ''", "invalid character \" \" in host name"),
        ("url('https://a:x/').getHost() == ''", "invalid port \":x\" after host"),
        ("url('').getHost() == ''", "empty url"),
    ]);
}

#[test]
fn addresses() {
    hold(&[
        "isIP('1.2.3.4') && isIP('::1') && !isIP('1.2.3') && !isIP('01.2.3.4') && !isIP('fe80::1%eth0')",
        "ip('127.0.0.1').family() == 4 && ip('::1').family() == 6 && string(ip('::0001')) == '::1'",
        "ip.isCanonical('::1') && !ip.isCanonical('0::1')",
        "ip('0.0.0.0').isUnspecified() && ip('127.0.0.1').isLoopback() && ip('8.8.8.8').isGlobalUnicast()",
        "ip('224.0.0.1').isLinkLocalMulticast() && ip('ff02::1').isLinkLocalMulticast()",
        "ip('169.254.1.1').isLinkLocalUnicast() && ip('fe80::1').isLinkLocalUnicast()",
        "isCIDR('10.0.0.0/8') && !isCIDR('10.0.0.0/33') && !isCIDR('10.0.0.0') && !isCIDR('10.0.0.0/08')",
        "cidr('10.0.0.0/8').containsIP('10.1.2.3') && !cidr('10.0.0.0/8').containsIP(ip('11.0.0.1'))",
        "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && !cidr('10.0.0.0/8').containsCIDR(cidr('0.0.0.0/0'))",
        "cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8') && cidr('10.0.0.0/8').prefixLength() == 8",
        "cidr('10.1.2.3/8').ip() == ip('10.1.2.3') && string(cidr('::/0')) == '::/0'",
        "cidr('0.0.0.0/0').containsIP('255.255.255.255') && cidr('::/0').containsIP('ffff::')",
        "type(ip('1.2.3.4')) == net.IP",
    ]);
    fail(&[
        ("ip('x') == ip('::')", "IP Address \"x\" parse error during conversion from string"),
        (
            "ip('::ffff:1.2.3.4') == ip('::')",
            "IPv4-mapped IPv6 address \"::ffff:1.2.3.4\" is not allowed",
        ),
        (
            "cidr('1.2.3.4') == cidr('::/0')",
            "network address parse error during conversion from string",
        ),
    ]);
}

#[test]
fn quantities_and_versions() {
    hold(&[
        "quantity('1.5Gi').isGreaterThan(quantity('1G')) && quantity('100m').isLessThan(quantity('1'))",
        "quantity('1Ki') == quantity('1024') && quantity('1').compareTo(quantity('2')) == -1",
        "quantity('50k').asInteger() == 50000 && quantity('50k').isInteger() && !quantity('9999999999999999999999').isInteger()",
        "quantity('1').add(quantity('1')) == quantity('2') && quantity('5').sub(2) == quantity('3')",
        "quantity('500m').asApproximateFloat() == 0.5 && quantity('-1').sign() == -1",
        "isQuantity('1Mi') && !isQuantity('1x') && !isQuantity('')",
        "semver('1.2.3').isLessThan(semver('1.10.0')) && semver('1.0.0-alpha').isLessThan(semver('1.0.0'))",
        "semver('1.2.3').major() == 1 && semver('1.2.3').minor() == 2 && semver('1.2.3').patch() == 3",
        "isSemver('1.2.3-rc.1+build') && !isSemver('v1.2.3') && isSemver('v1.2', true) && !isSemver('01.2.3')",
        "semver('v01.1', true) == semver('1.1.0') && semver('1.0.0').compareTo(semver('1.0.0+x')) == 0",
    ]);
    fail(&[
        ("quantity('1x') == quantity('1')", "unable to parse quantity's suffix"),
        ("quantity('1.5').asInteger() == 1", "cannot convert value to integer"),
        ("semver('1.2') == semver('1.2.0')", "No Major.Minor.Patch elements found"),
        ("semver('a.2.3') == semver('1.2.0')", "Invalid character(s) found in major number \"a\""),
    ]);
}

#[test]
fn formats_and_sets() {
    hold(&[
        "!format.dns1123Label().validate('my-label').hasValue()",
        "format.dns1123Label().validate('My').value()[0].startsWith('a lowercase RFC 1123 label')",
        "format.named('uuid').value().validate('x').value() == ['does not match the UUID format']",
        "!format.named('nothing').hasValue() && !format.labelValue().validate('').hasValue()",
        "!format.date().validate('2024-01-31').hasValue() && format.date().validate('2024-02-31').hasValue()",
        "!format.qualifiedName().validate('a.io/b').hasValue() && format.uri().validate('x').hasValue()",
        "!format.byte().validate('aGk=').hasValue() && !format.dns1035LabelPrefix().validate('a-').hasValue()",
        "sets.contains([1, 2, 3], [1, 3]) && !sets.contains([1], [2]) && sets.contains([1], [])",
        "sets.equivalent([1, 2, 2], [2, 1]) && sets.intersects([1, 2], [2, 3]) && !sets.intersects([1], [2])",
        "jsonpatch.escapeKey('a/b~c') == 'a~1b~0c'",
    ]);
}
