import type { Rule } from './rule.ts'

/** Host names and addresses are for infrastructure alone; no certificate has names of other forms. */
export const otherNames: Rule = {
  name: 'other-names',
  citation: 'design §4; identity §0 F2: a host name in a workload certificate was taken for another identity',
  holds: ({ sans, subjectEmails }, { profile }) => {
    const hosts = sans.dns.length + sans.ips.length
    const others = sans.emails.length + sans.other.length + subjectEmails.length
    return others === 0 && (hosts === 0 || profile.name === 'infra-leaf')
  },
}
