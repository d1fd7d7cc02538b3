//! An engine that is compiled once, and images of its memory: components that have nothing of their own but what their memory
//! begins with.
//!
//! The engine is a core module. As what others are linked with it takes its memory from elsewhere. A component is what the module
//! would be made into, but that the module is an import of it; and of the small module through which its imports go, which is
//! there first, it has its memory.

use super::call::Linked;
use super::component::componentize;
use super::error::one_line;
use super::host::CallState;
use std::sync::Arc;
use wasm_encoder as encode;
use wasm_encoder::{ComponentSection as _, Section as _};
use wasmparser::{Chunk, DataKind, ExternalKind, FuncType, Instance, Operator, Parser, Payload, TypeRef};
use wasmtime::component::Linker;

/// The engine that comes with the server. How it is built: plugins/script/build.sh.
pub(super) const BUILT: &[u8] = include_bytes!("../../../../plugins/script/engine.wasm");
/// What components call the engine that they import.
pub(super) const ENGINE: &str = "engine";
const MEMORY: (&str, &str) = ("env", "memory");
const PAGE_BYTES: usize = 65_536;
/// So many zeros are not written down, but left out.
const GAP_BYTES: usize = 128;

/// The engine, ready to be called.
pub(super) struct Scripts {
    pub(super) image: Engine,
    /// The engine, and what every file in JavaScript may ask; what leaves something behind, who imports it has besides.
    pub(super) linker: Linker<CallState>,
    /// With the memory of one that has read nothing.
    pub(super) empty: Arc<Linked>,
}

/// What is wrong with an engine that comes with the server: a mistake of whoever built it.
type Mistake = String;

/// An engine, taken apart.
pub(super) struct Engine {
    /// The module without memory.
    pub(super) module: Vec<u8>,
    /// The memory that it begins with.
    pub(super) memory: Vec<u8>,
    frame: Frame,
}

/// A component without the module whose memory is the image.
struct Frame {
    before: Vec<u8>,
    /// The sections of that module, with their numbers.
    shim: Vec<(u8, Vec<u8>)>,
    after: Vec<u8>,
}

impl Engine {
    /// Takes a core module apart whose memory is its own.
    pub(super) fn of(engine: &[u8]) -> Result<Self, Mistake> {
        let mut taken = Taken::default();
        taken.take(engine)?;
        let component = componentize(engine).map_err(|error| error.to_string())?;
        let frame = Frame::of(&component, &taken)?;
        Ok(Self { module: taken.module.finish(), memory: taken.memory, frame })
    }

    /// The component whose calls begin with this memory.
    pub(super) fn component(&self, memory: &[u8]) -> Result<Vec<u8>, Mistake> {
        let Frame { before, shim, after } = &self.frame;
        let mut module = encode::Module::HEADER.to_vec();
        let pages = memory.len().div_ceil(PAGE_BYTES) as u64;
        let mut own = encode::MemorySection::new();
        own.memory(memory_type(pages));
        let mut data = encode::DataSection::new();
        for (at, bytes) in runs(memory) {
            let at = i32::try_from(at).map_err(|_| "the memory is too large".to_owned())?;
            data.active(0, &encode::ConstExpr::i32_const(at), bytes.iter().copied());
        }
        let mut is_there = false;
        for (id, bytes) in shim {
            // Memory comes behind tables, and before what is exported.
            if !is_there && *id > encode::SectionId::Memory as u8 {
                own.append_to(&mut module);
                is_there = true;
            }
            module.extend_from_slice(bytes);
        }
        data.append_to(&mut module);
        let mut component = before.clone();
        encode::RawSection { id: encode::ComponentSectionId::CoreModule.into(), data: &module }
            .append_to_component(&mut component);
        component.extend_from_slice(after);
        Ok(component)
    }
}

fn memory_type(pages: u64) -> encode::MemoryType {
    encode::MemoryType { minimum: pages, maximum: None, memory64: false, shared: false, page_size_log2: None }
}

/// What is not zero of a memory, and where.
fn runs(memory: &[u8]) -> Vec<(usize, &[u8])> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (at, _) in memory.iter().enumerate().filter(|(_, byte)| **byte != 0) {
        match runs.last_mut() {
            Some((_, end)) if at < *end + GAP_BYTES => *end = at + 1,
            _ => runs.push((at, at + 1)),
        }
    }
    runs.into_iter().filter_map(|(start, end)| Some((start, memory.get(start..end)?))).collect()
}

/// The parts of a module, one after the other.
#[derive(Default)]
struct Taken {
    module: encode::Module,
    memory: Vec<u8>,
    types: Vec<FuncType>,
    /// The types of functions, the imported ones first.
    functions: Vec<u32>,
    /// How the engine looks from outside.
    outside: encode::ModuleType,
}

impl Taken {
    fn take(&mut self, engine: &[u8]) -> Result<(), Mistake> {
        let mut pages = 0;
        let mut memory = Vec::new();
        for payload in Parser::new(0).parse_all(engine) {
            let payload = payload.map_err(|error| unread(&error))?;
            match &payload {
                Payload::TypeSection(types) => {
                    for group in types.clone() {
                        for ty in group.map_err(|error| unread(&error))?.into_types() {
                            let function = ty.composite_type.unwrap_func().clone();
                            self.outside.ty().function(values(function.params())?, values(function.results())?);
                            self.types.push(function);
                        }
                    }
                }
                Payload::ImportSection(imports) => {
                    let mut section = encode::ImportSection::new();
                    for import in imports.clone().into_imports() {
                        let import = import.map_err(|error| unread(&error))?;
                        let TypeRef::Func(ty) = import.ty else {
                            return Err(format!("it imports `{}`, which is no function", import.name));
                        };
                        let ty = encode::EntityType::Function(ty);
                        section.import(import.module, import.name, ty);
                        self.outside.import(import.module, import.name, ty);
                        self.functions.extend(index_of(ty));
                    }
                    // How large it has to be, the image says.
                    let ty = encode::EntityType::Memory(memory_type(0));
                    section.import(MEMORY.0, MEMORY.1, ty);
                    self.outside.import(MEMORY.0, MEMORY.1, ty);
                    self.module.section(&section);
                    continue;
                }
                Payload::FunctionSection(functions) => {
                    for ty in functions.clone() {
                        self.functions.push(ty.map_err(|error| unread(&error))?);
                    }
                }
                Payload::MemorySection(memories) => {
                    for memory in memories.clone() {
                        pages = memory.map_err(|error| unread(&error))?.initial;
                    }
                    continue;
                }
                Payload::GlobalSection(globals) => {
                    let globals: Result<Vec<_>, _> = globals.clone().into_iter().collect();
                    let changing = globals.map_err(|error| unread(&error))?;
                    let changing = changing.iter().filter(|global| global.ty.mutable).count();
                    // An image has what is in memory, and this one is the same before every call.
                    if changing > 1 {
                        return Err(format!("it has {changing} globals that change, and not the stack pointer alone"));
                    }
                }
                Payload::ExportSection(exports) => {
                    for export in exports.clone() {
                        let export = export.map_err(|error| unread(&error))?;
                        let ty = match export.kind {
                            ExternalKind::Func => {
                                let ty = self.functions.get(export.index as usize);
                                encode::EntityType::Function(*ty.ok_or("a function that it exports is not there")?)
                            }
                            ExternalKind::Memory => encode::EntityType::Memory(memory_type(0)),
                            _ => continue,
                        };
                        self.outside.export(export.name, ty);
                    }
                }
                Payload::DataSection(data) => {
                    for data in data.clone() {
                        let data = data.map_err(|error| unread(&error))?;
                        let DataKind::Active { memory_index: 0, offset_expr } = data.kind else {
                            return Err("it has data that is put into its memory later".to_owned());
                        };
                        let at = match offset_expr.get_operators_reader().read() {
                            Ok(Operator::I32Const { value }) => usize::try_from(value).ok(),
                            _ => None,
                        };
                        memory.push((at.ok_or("where its data stands is computed")?, data.data));
                    }
                    continue;
                }
                Payload::StartSection { .. } => return Err("it has a start function".to_owned()),
                Payload::DataCountSection { .. } | Payload::CustomSection(_) => continue,
                _ => {}
            }
            if let Some((id, range)) = payload.as_section() {
                let data = engine.get(range).ok_or("it is cut off")?;
                self.module.section(&encode::RawSection { id, data });
            }
        }
        self.memory = vec![0; usize::try_from(pages).unwrap_or_default() * PAGE_BYTES];
        for (at, data) in memory {
            let place = self.memory.get_mut(at..at + data.len()).ok_or("its data is longer than its memory")?;
            place.copy_from_slice(data);
        }
        Ok(())
    }
}

fn index_of(ty: encode::EntityType) -> Option<u32> {
    match ty {
        encode::EntityType::Function(index) => Some(index),
        _ => None,
    }
}

fn values(types: &[wasmparser::ValType]) -> Result<Vec<encode::ValType>, Mistake> {
    let value = |ty: &wasmparser::ValType| match ty {
        wasmparser::ValType::I32 => Ok(encode::ValType::I32),
        wasmparser::ValType::I64 => Ok(encode::ValType::I64),
        wasmparser::ValType::F32 => Ok(encode::ValType::F32),
        wasmparser::ValType::F64 => Ok(encode::ValType::F64),
        other => Err(format!("it has functions of the type {other}")),
    };
    types.iter().map(value).collect()
}

fn unread(error: &wasmparser::BinaryReaderError) -> Mistake {
    one_line(error.message())
}

/// The modules of a component that is made of one: itself, what its imports go through, and what completes that.
const MAIN: u32 = 0;
const SHIM: u32 = 1;

impl Frame {
    /// A component that was made of the engine, with the engine as an import.
    fn of(component: &[u8], engine: &Taken) -> Result<Self, Mistake> {
        let mut frame =
            Self { before: component.get(..8).ok_or("it is cut off")?.to_vec(), shim: Vec::new(), after: Vec::new() };
        let (mut modules, mut instances, mut shim) = (0, 0, None);
        let mut parser = Parser::new(0);
        let mut at = 0;
        loop {
            let rest = component.get(at..).ok_or("it is cut off")?;
            let Chunk::Parsed { consumed, payload } = parser.parse(rest, true).map_err(|error| unread(&error))? else {
                return Err("it is cut off".to_owned());
            };
            at += consumed;
            let out = if modules > SHIM { &mut frame.after } else { &mut frame.before };
            match payload {
                Payload::ModuleSection { unchecked_range, .. } => {
                    let module = component.get(unchecked_range.clone()).ok_or("it is cut off")?;
                    match modules {
                        MAIN => {
                            let mut types = encode::CoreTypeSection::new();
                            types.ty().module(&engine.outside);
                            types.append_to_component(out);
                            let mut imports = encode::ComponentImportSection::new();
                            imports.import(ENGINE, encode::ComponentTypeRef::Module(0));
                            imports.append_to_component(out);
                        }
                        SHIM => frame.shim = sections(module)?,
                        _ => encode::RawSection { id: encode::ComponentSectionId::CoreModule.into(), data: module }
                            .append_to_component(out),
                    }
                    modules += 1;
                    at = unchecked_range.end;
                }
                Payload::ComponentSection { unchecked_range, .. } => {
                    let data = component.get(unchecked_range.clone()).ok_or("it is cut off")?;
                    encode::RawSection { id: encode::ComponentSectionId::Component.into(), data }
                        .append_to_component(out);
                    at = unchecked_range.end;
                }
                Payload::CoreTypeSection(_) => return Err("its component has core types of its own".to_owned()),
                Payload::InstanceSection(section) => {
                    let mut made = encode::InstanceSection::new();
                    for instance in section {
                        match instance.map_err(|error| unread(&error))? {
                            Instance::Instantiate { module_index, args } => {
                                let mut args: Vec<_> =
                                    args.iter().map(|arg| (arg.name, encode::ModuleArg::Instance(arg.index))).collect();
                                match module_index {
                                    SHIM => shim = Some(instances),
                                    MAIN => args.push((
                                        MEMORY.0,
                                        encode::ModuleArg::Instance(
                                            shim.ok_or("what its imports go through comes late")?,
                                        ),
                                    )),
                                    _ => {}
                                }
                                made.instantiate(module_index, args);
                            }
                            Instance::FromExports(exports) => {
                                let items: Vec<_> = exports
                                    .iter()
                                    .map(|export| (export.name, kind(export.kind), export.index))
                                    .collect();
                                made.export_items(items);
                            }
                        }
                        instances += 1;
                    }
                    made.append_to_component(out);
                }
                Payload::End(_) => break,
                payload => {
                    if let Some((id, range)) = payload.as_section() {
                        let data = component.get(range).ok_or("it is cut off")?;
                        encode::RawSection { id, data }.append_to_component(out);
                    }
                }
            }
        }
        if shim.is_none() || frame.shim.is_empty() {
            return Err("its component has nothing that its imports go through".to_owned());
        }
        Ok(frame)
    }
}

fn kind(kind: ExternalKind) -> encode::ExportKind {
    match kind {
        ExternalKind::Func | ExternalKind::FuncExact => encode::ExportKind::Func,
        ExternalKind::Table => encode::ExportKind::Table,
        ExternalKind::Memory => encode::ExportKind::Memory,
        ExternalKind::Global => encode::ExportKind::Global,
        ExternalKind::Tag => encode::ExportKind::Tag,
    }
}

/// The sections of the module that gets the memory, which it exports.
fn sections(module: &[u8]) -> Result<Vec<(u8, Vec<u8>)>, Mistake> {
    let mut sections = Vec::new();
    let mut keep = |id: u8, section: &dyn encode::Section| {
        let mut bytes = Vec::new();
        section.append_to(&mut bytes);
        sections.push((id, bytes));
    };
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload.map_err(|error| unread(&error))?;
        match &payload {
            Payload::ExportSection(exports) => {
                let mut section = encode::ExportSection::new();
                for export in exports.clone() {
                    let export = export.map_err(|error| unread(&error))?;
                    section.export(export.name, kind(export.kind), export.index);
                }
                section.export(MEMORY.1, encode::ExportKind::Memory, 0);
                keep(section.id(), &section);
            }
            Payload::MemorySection(_) | Payload::DataSection(_) => {
                return Err("what its imports go through has a memory of its own".to_owned());
            }
            Payload::CustomSection(_) => {}
            payload => {
                if let Some((id, range)) = payload.as_section() {
                    let data = module.get(range).ok_or("it is cut off")?;
                    keep(id, &encode::RawSection { id, data });
                }
            }
        }
    }
    Ok(sections)
}
