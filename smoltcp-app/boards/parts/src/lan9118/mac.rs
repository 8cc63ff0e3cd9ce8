//! What lies behind the chip's bus interface: the MAC's registers, through a command and its value, and through these the
//! PHY's.

use greet_board::Link;

use super::{
    Error,
    registers::{self, MacRegister, MmioRegisters, PhyRegister},
};

/// How often a register is polled. A read takes 45 ns or more, and the slowest operation, the reset of the PHY, 100 µs.
const POLLS: u32 = 100_000;

/// Polls until `done` returns true, [`POLLS`] times at most.
pub(super) fn wait(error: Error, mut done: impl FnMut() -> bool) -> Result<(), Error> {
    for _ in 0..POLLS {
        if done() {
            return Ok(());
        }
    }
    Err(error)
}

/// The registers of the MAC.
pub(super) fn read(registers: &mut MmioRegisters<'_>, register: MacRegister) -> Result<u32, Error> {
    command(registers, registers::MAC_READ | register as u32)?;
    Ok(registers.read_mac_data())
}

pub(super) fn write(registers: &mut MmioRegisters<'_>, register: MacRegister, value: u32) -> Result<(), Error> {
    registers.write_mac_data(value);
    command(registers, register as u32)
}

fn command(registers: &mut MmioRegisters<'_>, command: u32) -> Result<(), Error> {
    registers.write_mac_command(registers::MAC_BUSY | command);
    // The data sheet (6.1) wants a read of this register in between: the command must have arrived.
    let _ = registers.read_byte_test();
    wait(Error::MacBusy, || registers.read_mac_command() & registers::MAC_BUSY == 0)
}

/// The registers of the PHY.
pub(super) fn read_phy(registers: &mut MmioRegisters<'_>, register: PhyRegister) -> Result<u16, Error> {
    mii(registers, (register as u32) << 6)?;
    let value = read(registers, MacRegister::MiiData)?;
    Ok((value & 0xffff) as u16)
}

pub(super) fn write_phy(registers: &mut MmioRegisters<'_>, register: PhyRegister, value: u16) -> Result<(), Error> {
    write(registers, MacRegister::MiiData, value.into())?;
    mii(registers, (register as u32) << 6 | registers::MII_WRITE)
}

fn mii(registers: &mut MmioRegisters<'_>, access: u32) -> Result<(), Error> {
    write(registers, MacRegister::MiiAccess, registers::MII_ADDRESS | access | registers::MII_BUSY)?;
    for _ in 0..POLLS {
        if read(registers, MacRegister::MiiAccess)? & registers::MII_BUSY == 0 {
            return Ok(());
        }
    }
    Err(Error::PhyBusy)
}

/// How the link stands: what both ends have agreed on.
pub(super) fn link(registers: &mut MmioRegisters<'_>) -> Result<Link, Error> {
    // That it went down is kept until it is read, even though it is up again.
    let _ = read_phy(registers, PhyRegister::Status)?;
    if read_phy(registers, PhyRegister::Status)? & registers::PHY_LINK_UP == 0 {
        return Ok(Link::Down);
    }
    let common = read_phy(registers, PhyRegister::Advertised)? & read_phy(registers, PhyRegister::Partner)?;
    let fast = common & (registers::PHY_100_FULL | registers::PHY_100_HALF) != 0;
    let full = if fast { registers::PHY_100_FULL } else { registers::PHY_10_FULL };
    Ok(Link::Up { megabits: if fast { 100 } else { 10 }, full_duplex: common & full != 0 })
}
