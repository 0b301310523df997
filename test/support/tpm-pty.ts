// A character device in front of a TPM on TCP: a pseudo-terminal in raw mode, on which one write is a command and reading gives
// its response, as on /dev/tpm0. What only a kernel's driver does (its own deadlines, its resource manager) is not there.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

const BRIDGE = `
import os, pty, socket, struct, sys, tty
master, slave = pty.openpty()
tty.setraw(slave)
print(os.ttyname(slave), flush=True)
def whole(read):
    data = b''
    while len(data) < 6 or len(data) < struct.unpack('>I', data[2:6])[0]:
        piece = read(4096)
        if not piece: raise SystemExit
        data += piece
    return data
while True:
    command = whole(lambda n: os.read(master, n))
    with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as tpm:
        tpm.sendall(command)
        os.write(master, whole(tpm.recv))
`

interface TestLike {
  after(action: () => Promise<void>): void
}

/** The path of the device; it is gone after `test`. */
export async function tpmPty(test: TestLike, tpm: { host: string; port: number }): Promise<string> {
  const child = spawn('python3', ['-c', BRIDGE, tpm.host, String(tpm.port)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exit = once(child, 'exit')
  test.after(async () => {
    child.kill('SIGKILL')
    await exit
  })
  const [path] = (await once(createInterface(child.stdout), 'line')) as [string]
  return path
}
